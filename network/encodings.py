"""From images to the input of each timestep.

Stochastic encodings draw from a counter-based generator: the number for (image key, step, pixel)
is a hash of the three. A spike train therefore belongs to its image and its key, whatever the
batch, the chunk or the machine.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from network.registry import Registry

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, the increment of splitmix64
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


class Encoding(Protocol):
    """static: the same input at every step. spiking: the input consists of spikes.

    span: the smallest and the largest input that any image can send; None: as the image has it.
    """

    name: str
    static: bool
    spiking: bool
    span: tuple[float, float] | None

    def encode(self, images: Tensor, first: int, steps: int, keys: Tensor | None) -> Tensor:
        """Images [B, ...] to the inputs of steps first … first+steps−1, [steps·B, ...]
        (or [B, ...] once, where static). keys: int64 [B], one per image."""


ENCODINGS: Registry[Encoding] = Registry("encoding")


def _shift_right(value: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64 (torch's own keeps the sign)."""
    return (value >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _mix(value: Tensor) -> Tensor:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    value = (value ^ _shift_right(value, 30)).mul_(_MIX_1)
    value.bitwise_xor_(_shift_right(value, 27)).mul_(_MIX_2)
    return value.bitwise_xor_(_shift_right(value, 31))


def _streams(keys: Tensor, first: int, steps: int) -> Tensor:
    """Where the numbers of an image at a step begin: int64 [steps, B] for keys [B]."""
    times = torch.arange(first, first + steps, device=keys.device).view(-1, 1)
    return _mix(_mix(keys + _GOLDEN) + times * _GOLDEN)


def _numbers(streams: Tensor, pixels: Tensor) -> Tensor:
    """Uniform numbers in [0, 1) with 24 bits, for streams and pixels that broadcast."""
    bits = _shift_right(_mix(streams + (pixels + 1) * _GOLDEN), 40)
    return bits.to(torch.float32).mul_(2.0**-24)


def uniform(keys: Tensor, first: int, steps: int, shape: torch.Size) -> Tensor:
    """Uniform numbers in [0, 1) with 24 bits: [steps, B, *shape] for keys [B]."""
    pixels = torch.arange(shape.numel(), device=keys.device)
    drawn = _numbers(_streams(keys, first, steps).unsqueeze(-1), pixels)
    return drawn.view(steps, len(keys), *shape)


def drawn_below(chances: Tensor, keys: Tensor, first: int, steps: int) -> Tensor:
    """1 where `uniform` lies below the chance [B, ...], else 0: [steps·B, ...].

    Numbers are drawn for pixels with a chance only; most images are black for the most part.
    """
    flat = chances.flatten(1)
    images, pixels = (flat > 0).nonzero(as_tuple=True)
    drawn = _numbers(_streams(keys, first, steps)[:, images], pixels)
    spikes = chances.new_zeros(steps, flat.numel())
    fired = (drawn < flat[images, pixels]).to(chances.dtype)
    spikes.index_copy_(1, images * flat.shape[1] + pixels, fired)
    return spikes.view(steps * len(chances), *chances.shape[1:])


def image_keys(seed: int, indices: Tensor) -> Tensor:
    """Keys for the images at `indices` (int64 [B]) of a data set, for one seed."""
    return _mix(_mix(torch.full_like(indices, seed) + _GOLDEN) + indices * _GOLDEN)


class Constant:
    """The analogue image is the input current at every step."""

    name = "constant"
    static = True
    spiking = False
    span: tuple[float, float] | None = None

    def encode(self, images: Tensor, first: int, steps: int, keys: Tensor | None) -> Tensor:
        del first, steps, keys
        return images


class Poisson:
    """At each step a pixel p ∈ [0, 1] spikes with probability p."""

    name = "poisson"
    static = False
    spiking = True
    span: tuple[float, float] | None = (0.0, 1.0)

    def encode(self, images: Tensor, first: int, steps: int, keys: Tensor | None) -> Tensor:
        return drawn_below(images, _require(keys, self.name), first, steps)


class SignedPoisson:
    """Pixels in [−1, 1]; a spike of sign(p) with probability |p| (Lee 2020, section 4.1.4)."""

    name = "poisson-signed"
    static = False
    spiking = True
    span: tuple[float, float] | None = (-1.0, 1.0)

    def encode(self, images: Tensor, first: int, steps: int, keys: Tensor | None) -> Tensor:
        spikes = drawn_below(images.abs(), _require(keys, self.name), first, steps)
        return (spikes.unflatten(0, (steps, -1)) * torch.sign(images)).flatten(0, 1)


class TotalPoisson:
    """Poisson spikes with 5 events per step of 1 ms in all (Lee 2016, section 6: 5,000 per s).

    p_k = min(1, 5·x_k/Σx) for pixels x ∈ [0, 1]: bright and dark images send as many events.
    """

    name = "poisson-total"
    static = False
    spiking = True
    span: tuple[float, float] | None = (0.0, 1.0)
    events_per_step = 5.0

    def encode(self, images: Tensor, first: int, steps: int, keys: Tensor | None) -> Tensor:
        total = images.flatten(1).sum(dim=1).clamp(min=torch.finfo(images.dtype).tiny)
        share = images / total.view(-1, *([1] * (images.ndim - 1)))
        return drawn_below(self.events_per_step * share, _require(keys, self.name), first, steps)


class Events:
    """A recorded event stream binned into frames: images are [B, T, 2, H, W]."""

    name = "events"
    static = False
    spiking = True
    span: tuple[float, float] | None = None

    def encode(self, images: Tensor, first: int, steps: int, keys: Tensor | None) -> Tensor:
        del keys
        if first + steps > images.shape[1]:
            raise ValueError(
                f"events: the recordings are binned into {images.shape[1]} frames, "
                f"got timesteps up to {first + steps}"
            )
        return images[:, first : first + steps].transpose(0, 1).flatten(0, 1)


for _encoding in (Constant(), Poisson(), SignedPoisson(), TotalPoisson(), Events()):
    ENCODINGS.add(_encoding)


def _require(keys: Tensor | None, name: str) -> Tensor:
    if keys is None:
        raise ValueError(f"encoding {name} draws random numbers: give keys, one per image")
    return keys
