"""Augmentation of whole batches: pure functions of images, a generator and their turns.

Images are [B, C, H, W] with values in [0, 1] (flip and crop take bytes as well). Random numbers are
drawn where the generator lives, so that a CPU generator gives the same images on every device.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from network.registry import Registry

# turns: how often each image was seen, on top of a random number of its own, int64 [B]
Augmentation = Callable[[Tensor, Generator, Tensor], Tensor]

JITTER = 0.2  # largest change of brightness, contrast and saturation
SHIFT = 2  # pixels, for digits: they must not be mirrored, nor moved far
GREY = (0.299, 0.587, 0.114)  # luma of red, green, blue, ITU-R BT.601

AUGMENTATIONS: Registry[Augmentation] = Registry("augmentation")


def flip(images: Tensor, generator: Generator) -> Tensor:
    """Each image mirrored left to right with probability ½."""
    chosen = torch.rand(len(images), generator=generator, device=generator.device) < 0.5
    return mirrored(images, chosen)


def mirrored(images: Tensor, chosen: Tensor) -> Tensor:
    """The chosen images mirrored left to right; chosen: bool [B]."""
    return torch.where(chosen.to(images.device).view(-1, 1, 1, 1), images.flip(3), images)


def crop(images: Tensor, generator: Generator, padding: int, mode: str = "constant") -> Tensor:
    """Each image moved by up to `padding` pixels along both axes; what comes in at the border is
    black, or with mode "reflect" the image mirrored there."""
    batch, channels, height, width = images.shape
    offsets = torch.randint(
        2 * padding + 1, (2, batch, 1), generator=generator, device=generator.device
    ).to(images.device)
    rows = offsets[0] + torch.arange(height, device=images.device)
    columns = offsets[1] + torch.arange(width, device=images.device)
    positions = rows[:, :, None] * (width + 2 * padding) + columns[:, None, :]
    padded = pad(images, (padding,) * 4, mode=mode).flatten(2)
    index = positions.view(batch, 1, -1).expand(-1, channels, -1)
    return padded.gather(2, index).view(images.shape)


def jitter(images: Tensor, generator: Generator, strength: float = JITTER) -> Tensor:
    """Brightness, contrast, saturation of each image times U(1 − strength, 1 + strength), in order.

    Brightness scales towards black, contrast towards the image's mean grey, saturation towards each
    pixel's grey; values are held in [0, 1] after each. Images of one channel have no saturation.
    """
    draws = torch.rand(3, len(images), generator=generator, device=generator.device)
    factors = (1 + strength * (2 * draws - 1)).to(images).view(3, -1, 1, 1, 1)
    brighter = (images * factors[0]).clamp(0, 1)
    mean = grey(brighter).mean((1, 2, 3), keepdim=True)
    contrasted = torch.lerp(mean, brighter, factors[1]).clamp(0, 1)
    return torch.lerp(grey(contrasted), contrasted, factors[2]).clamp(0, 1)


def grey(images: Tensor) -> Tensor:
    """[B, 1, H, W]: the luma of three channels; any other number of channels is its own mean."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    weights = images.new_tensor(GREY).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def cutout(images: Tensor, generator: Generator, side: int) -> Tensor:
    """A square of that side in each image's own mean colour, around any of its pixels; what of the
    square is outside the image is lost (DeVries and Taylor 2017)."""
    batch, _, height, width = images.shape
    middles = torch.rand(2, batch, 1, generator=generator, device=generator.device)
    rows, columns = (
        torch.arange(length, device=images.device) - (middle * length).long().to(images.device)
        for middle, length in zip(middles, (height, width), strict=True)
    )
    before, after = side // 2, side - side // 2
    inside = [(-before <= offset) & (offset < after) for offset in (rows, columns)]
    square = (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
    return torch.where(square, images.mean((2, 3), keepdim=True), images)


def border(images: Tensor) -> int:
    """Padding of a crop: an eighth of the height, 4 of CIFAR's 32 pixels (He 2016)."""
    return images.shape[2] // 8


@AUGMENTATIONS.register("none")
def none(images: Tensor, generator: Generator, turns: Tensor) -> Tensor:
    """The images as they are."""
    del generator, turns
    return images


@AUGMENTATIONS.register("shift")
def shift(images: Tensor, generator: Generator, turns: Tensor) -> Tensor:
    """Moved by up to 2 pixels: for digits."""
    del turns
    return crop(images, generator, SHIFT)


@AUGMENTATIONS.register("flip-shift")
def flip_shift(images: Tensor, generator: Generator, turns: Tensor) -> Tensor:
    """Mirrored or not, then moved by up to 2 pixels, the image mirrored at its border: for short
    trainings (Jordan 2024)."""
    del turns
    return crop(flip(images, generator), generator, SHIFT, mode="reflect")


@AUGMENTATIONS.register("alternate-flip-shift")
def alternate_flip_shift(images: Tensor, generator: Generator, turns: Tensor) -> Tensor:
    """As `flip-shift`, but mirrored in every second epoch, a random half of the images in the
    first: what an epoch mirrors, the next does not (Jordan 2024, alternating flip)."""
    return crop(mirrored(images, turns % 2 == 1), generator, SHIFT, mode="reflect")


@AUGMENTATIONS.register("flip-crop")
def flip_crop(images: Tensor, generator: Generator, turns: Tensor) -> Tensor:
    """Mirrored or not, then moved by up to an eighth of the height."""
    del turns
    return crop(flip(images, generator), generator, border(images))


@AUGMENTATIONS.register("flip-crop-jitter")
def flip_crop_jitter(images: Tensor, generator: Generator, turns: Tensor) -> Tensor:
    """`flip-crop`, then colour jitter (Ledinauskas 2020, section 3.1)."""
    return jitter(flip_crop(images, generator, turns), generator)


@AUGMENTATIONS.register("flip-crop-cutout")
def flip_crop_cutout(images: Tensor, generator: Generator, turns: Tensor) -> Tensor:
    """`flip-crop`, then a square of half the height in the image's mean colour, 16 of CIFAR-10's 32
    pixels (DeVries and Taylor 2017)."""
    moved = flip_crop(images, generator, turns)
    return cutout(moved, generator, images.shape[2] // 2)


@AUGMENTATIONS.register("alternate-flip-shift-cutout")
def alternate_flip_shift_cutout(images: Tensor, generator: Generator, turns: Tensor) -> Tensor:
    """`alternate-flip-shift`, then a square of three eighths of the height in the image's mean
    colour, 12 of CIFAR's 32 pixels: for longer trainings (Jordan 2024, airbench96)."""
    moved = alternate_flip_shift(images, generator, turns)
    return cutout(moved, generator, 3 * images.shape[2] // 8)


def augment(name: str) -> Augmentation:
    """The augmentation of that name; raises UnknownName."""
    return AUGMENTATIONS.get(name)
