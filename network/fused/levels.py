"""a = λ · clip(⌊z·L/λ + ½⌋/L, 0, 1) with a straight-through floor: levels.c on a CPU that has a
compiler, PyTorch elsewhere.

Either way all is computed in float32 and rounded once to the type of z, and the same noise is added
in front of the floor where there is any.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from network.compiled.loading import agreeing
from network.compiled.parts import over_parts
from network.fused.on_cpu import HALF
from network.layout import laid_out

SOURCE = Path(__file__).with_name("levels.c")
BLOCK = 1024  # of levels.c
WORTH_A_THREAD = 1 << 16  # values: below that, waking one takes longer


@dataclass(frozen=True)
class Noise:
    """Drawn uniformly from ±share/2 levels, by a hash of the seed and of a value's place in memory.

    share: above 0; 1 rounds up with the probability that is the value's distance from a level.
    seed: from 0 to 2³¹ − 1.
    first: place of the first value, where others of the batch's stand in front of it.
    """

    share: float
    seed: int
    first: int = 0

    def like(self, z: Tensor) -> Tensor:
        """float32, in the shape and layout of z without gaps."""
        places = (torch.arange(z.numel(), device=z.device) + self.first & 0xFFFFFFFF) ^ self.seed
        x = ((places ^ (places >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
        x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
        flat = self.share * ((x >> 16).float() / 65536 - 0.5)
        return flat.as_strided(z.shape, torch.empty_like(z).stride())


class _CLevels(ctypes.Structure):
    """The structure of levels.c, field by field."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("size", "half", "first")),
        *((name, ctypes.c_float) for name in ("bound", "levels", "up", "down", "noise")),
        ("seed", ctypes.c_int32),
    )


class Quantise(torch.autograd.Function):
    """z of any shape, λ (a scalar tensor) and L to a, in which ⌊·⌋ has the slope 1 (Bu 2022)."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, threshold: Tensor, levels: int, noise: Noise | None = None
    ) -> Tensor:
        ctx.save_for_backward(z, threshold)
        ctx.levels = _Levels(threshold.item(), levels, noise)
        found = _kernel_for(z)
        if found is not None:
            return found.forward(z, ctx.levels)
        return (ctx.levels.steps(z) * ctx.levels.down).to(z.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        z, threshold = ctx.saved_tensors
        levels: _Levels = ctx.levels
        found = _kernel_for(z)
        if found is not None:
            inside, total = found.backward(z, gradient, levels)
            return inside, torch.tensor(total, dtype=threshold.dtype), None, None
        wide = _wide(z)
        inside = torch.where((wide > 0.0) & (wide < levels.bound), gradient.to(z.dtype), 0.0)
        of_threshold = None
        if ctx.needs_input_grad[1]:  # ∂a/∂λ: steps/L, and −z/λ inside
            steps = (levels.steps(z) * gradient).sum(dtype=torch.float32)
            slope = (z.float() * inside).sum(dtype=torch.float32)
            of_threshold = (steps / levels.number - slope / levels.bound).to(threshold.dtype)
        return inside, of_threshold, None, None


def _wide(z: Tensor) -> Tensor:
    return z if z.dtype is torch.float64 else z.float()


@dataclass(frozen=True)
class _Levels:
    """λ, L, and what is added in front of the floor."""

    bound: float
    number: int
    noise: Noise | None = None

    @property
    def down(self) -> float:
        """The height of one level."""
        return self.bound / self.number

    def steps(self, z: Tensor) -> Tensor:
        """⌊clip(z, 0, λ)·L/λ + ½ + noise⌋, whole numbers 0 … L in float32 (float64 as z is)."""
        counted = F.hardtanh(_wide(z), 0.0, self.bound).mul_(self.number / self.bound).add_(0.5)
        if self.noise is not None:
            counted.add_(self.noise.like(z))
        return counted.floor_()

    def in_c(self, z: Tensor) -> _CLevels:
        noise = self.noise or Noise(0.0, 0)
        up = self.number / self.bound
        return _CLevels(
            *(z.numel(), HALF[z.dtype], noise.first),
            *(self.bound, self.number, up, self.down, noise.share, noise.seed),
        )


@dataclass(frozen=True)
class _Kernel:
    """The compiled library, which agrees with PyTorch."""

    code: ctypes.CDLL

    def forward(self, z: Tensor, levels: _Levels) -> Tensor:
        """a in the type and layout of z."""
        result = torch.empty_like(z)
        _in_parts(self.code.run_forward, z, levels, laid_out(z, result.stride()), result)
        return result

    def backward(self, z: Tensor, gradient: Tensor, levels: _Levels) -> tuple[Tensor, float]:
        """The gradients of z and of λ."""
        result = torch.empty_like(z)
        sums = torch.empty(-(-z.numel() // BLOCK), dtype=torch.float64)
        given = [laid_out(x, result.stride()) for x in (z, gradient.to(z.dtype))]
        _in_parts(self.code.run_backward, z, levels, *given, result, sums)
        return result, sums.sum().item()


def _in_parts(run: Callable[..., int], z: Tensor, levels: _Levels, *tensors: Tensor) -> None:
    threads = min(torch.get_num_threads(), -(-z.numel() // WORTH_A_THREAD))
    over_parts(run, levels.in_c(z), *tensors, count=-(-z.numel() // BLOCK), threads=threads)


def _kernel_for(z: Tensor) -> _Kernel | None:
    return kernel() if z.device.type == "cpu" and z.dtype in HALF else None


@cache
def kernel() -> _Kernel | None:
    """The kernel of this machine; None, said once, where it does not run or is not right."""
    return agreeing(SOURCE, _Kernel, _agrees, otherwise="activations are quantised in PyTorch")


def _agrees(found: _Kernel) -> bool:
    """Whether numbers that bfloat16 holds exactly come out as the equations have them."""
    z = (torch.arange(3000) * 7 % 97 - 40) / 16
    gradient = (torch.arange(3000) * 5 % 9 - 4) / 4
    inside = torch.where((z > 0) & (z < 2), gradient, 0.0)
    steps = (z.clamp(0, 2) * 2 + 0.5).floor()
    of_threshold = float((gradient * steps / 4 - inside * z / 2).sum(dtype=torch.float64))
    noise = Noise(1.0, 20241126, first=2**32 - 1500)
    noisy = (z.clamp(0, 2) * 2 + 0.5 + noise.like(z)).floor()
    for dtype in HALF:
        result = found.forward(z.to(dtype), _Levels(2.0, 4))
        back, total = found.backward(z.to(dtype), gradient.to(dtype), _Levels(2.0, 4))
        if not torch.equal(result.float(), steps / 2) or not torch.equal(back.float(), inside):
            return False
        if abs(total - of_threshold) > 1e-3:
            return False
        result = found.forward(z.to(dtype), _Levels(2.0, 4, noise))
        if not torch.equal(result.float(), noisy / 2):
            return False
    return True
