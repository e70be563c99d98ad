"""From images to the input of each timestep (METHODS.md section 2).

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
    """static: the same input at every step. spiking: the input consists of spikes."""

    name: str
    static: bool
    spiking: bool

    def encode(self, images: Tensor, first: int, steps: int, keys: Tensor | None) -> Tensor:
        """Images [B, ...] to the inputs of steps first … first+steps−1, [steps·B, ...]
        (or [B, ...] once, where static). keys: int64 [B], one per image."""


ENCODINGS: Registry[Encoding] = Registry("encoding")


def _shift_right(value: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64 (torch's own keeps the sign)."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _mix(value: Tensor) -> Tensor:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    value = (value ^ _shift_right(value, 30)) * _MIX_1
    value = (value ^ _shift_right(value, 27)) * _MIX_2
    return value ^ _shift_right(value, 31)


def uniform(keys: Tensor, first: int, steps: int, shape: torch.Size) -> Tensor:
    """Uniform numbers in [0, 1) with 24 bits: [steps, B, *shape] for keys [B]."""
    pixels = torch.arange(shape.numel(), device=keys.device).view(1, 1, -1)
    times = torch.arange(first, first + steps, device=keys.device).view(-1, 1, 1)
    stream = _mix(_mix(keys.view(1, -1, 1) + _GOLDEN) + times * _GOLDEN)
    bits = _shift_right(_mix(stream + (pixels + 1) * _GOLDEN), 40)
    return (bits.to(torch.float32) * 2.0**-24).view(steps, len(keys), *shape)


def image_keys(seed: int, indices: Tensor) -> Tensor:
    """Keys for the images at `indices` (int64 [B]) of a data set, for one seed."""
    return _mix(_mix(torch.full_like(indices, seed) + _GOLDEN) + indices * _GOLDEN)


class Constant:
    """The analogue image is the input current at every step."""

    name = "constant"
    static = True
    spiking = False

    def encode(self, images: Tensor, first: int, steps: int, keys: Tensor | None) -> Tensor:
        del first, steps, keys
        return images


class Poisson:
    """At each step a pixel p ∈ [0, 1] spikes with probability p."""

    name = "poisson"
    static = False
    spiking = True

    def encode(self, images: Tensor, first: int, steps: int, keys: Tensor | None) -> Tensor:
        chance = uniform(_require(keys, self.name), first, steps, images.shape[1:])
        return (chance < images).to(images.dtype).flatten(0, 1)


class SignedPoisson:
    """Pixels in [−1, 1]; a spike of sign(p) with probability |p| (Lee 2020, section 4.1.4)."""

    name = "poisson-signed"
    static = False
    spiking = True

    def encode(self, images: Tensor, first: int, steps: int, keys: Tensor | None) -> Tensor:
        chance = uniform(_require(keys, self.name), first, steps, images.shape[1:])
        return (torch.sign(images) * (chance < images.abs())).to(images.dtype).flatten(0, 1)


class TotalPoisson:
    """Poisson spikes with 5 events per step of 1 ms in all (Lee 2016, section 6: 5,000 per s).

    p_k = min(1, 5·x_k/Σx) for pixels x ∈ [0, 1]: bright and dark images send as many events.
    """

    name = "poisson-total"
    static = False
    spiking = True
    events_per_step = 5.0

    def encode(self, images: Tensor, first: int, steps: int, keys: Tensor | None) -> Tensor:
        chance = uniform(_require(keys, self.name), first, steps, images.shape[1:])
        total = images.flatten(1).sum(dim=1).clamp(min=torch.finfo(images.dtype).tiny)
        share = images / total.view(-1, *([1] * (images.ndim - 1)))
        return (chance < self.events_per_step * share).to(images.dtype).flatten(0, 1)


class Events:
    """A recorded event stream binned into frames: images are [B, T, 2, H, W]."""

    name = "events"
    static = False
    spiking = True

    def encode(self, images: Tensor, first: int, steps: int, keys: Tensor | None) -> Tensor:
        del keys
        if first + steps > images.shape[1]:
            raise ValueError(
                f"events: the recordings are binned into {images.shape[1]} frames, "
                f"got timesteps up to {first + steps}"
            )
        return images[:, first : first + steps].transpose(0, 1).flatten(0, 1)


for _encoding in (Constant(), Poisson(), SignedPoisson(), TotalPoisson(), Events()):
    ENCODINGS.register(_encoding.name)(_encoding)


def _require(keys: Tensor | None, name: str) -> Tensor:
    if keys is None:
        raise ValueError(f"encoding {name} draws random numbers: give keys, one per image")
    return keys
