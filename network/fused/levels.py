"""a = λ · clip(⌊z·L/λ + ½⌋/L, 0, 1) with a straight-through floor: levels.c on a CPU that has a
compiler, PyTorch elsewhere.

Either way all is computed in float32 and rounded once to the type of z.
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


class _CLevels(ctypes.Structure):
    """The structure of levels.c, field by field."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("size", "half")),
        *((name, ctypes.c_float) for name in ("bound", "levels", "up", "down")),
    )


class Quantise(torch.autograd.Function):
    """z of any shape, λ (a scalar tensor) and L to a, in which ⌊·⌋ has the slope 1 (Bu 2022)."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, threshold: Tensor, levels: int) -> Tensor:
        ctx.save_for_backward(z, threshold)
        ctx.levels = levels
        bound, found = threshold.item(), _kernel_for(z)
        if found is not None:
            return found.forward(z, bound, levels)
        return (_steps(z, bound, levels) * (bound / levels)).to(z.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        z, threshold = ctx.saved_tensors
        bound, found = threshold.item(), _kernel_for(z)
        if found is not None:
            inside, total = found.backward(z, gradient, bound, ctx.levels)
            return inside, torch.tensor(total, dtype=threshold.dtype), None
        inside = torch.ops.aten.hardtanh_backward(gradient.to(z.dtype), z, 0.0, bound)
        of_threshold = None
        if ctx.needs_input_grad[1]:  # ∂a/∂λ: steps/L, and −z/λ inside
            steps = (_steps(z, bound, ctx.levels) * gradient).sum(dtype=torch.float32)
            slope = (z.float() * inside).sum(dtype=torch.float32)
            of_threshold = (steps / ctx.levels - slope / bound).to(threshold.dtype)
        return inside, of_threshold, None


def _steps(z: Tensor, bound: float, levels: int) -> Tensor:
    """⌊clip(z, 0, λ)·L/λ + ½⌋, whole numbers 0 … L in float32 (float64 where z is that)."""
    wide = z if z.dtype is torch.float64 else z.float()
    return F.hardtanh(wide, 0.0, bound).mul_(levels / bound).add_(0.5).floor_()


@dataclass(frozen=True)
class _Kernel:
    """The compiled library, which agrees with PyTorch."""

    library: ctypes.CDLL

    def forward(self, z: Tensor, bound: float, levels: int) -> Tensor:
        """a in the type and layout of z."""
        result = torch.empty_like(z)
        _in_parts(self.library.run_forward, z, bound, levels, laid_out(z, result.stride()), result)
        return result

    def backward(
        self, z: Tensor, gradient: Tensor, bound: float, levels: int
    ) -> tuple[Tensor, float]:
        """The gradients of z and of λ."""
        result = torch.empty_like(z)
        sums = torch.empty(-(-z.numel() // BLOCK), dtype=torch.float64)
        given = [laid_out(x, result.stride()) for x in (z, gradient.to(z.dtype))]
        _in_parts(self.library.run_backward, z, bound, levels, *given, result, sums)
        return result, sums.sum().item()


def _in_parts(
    run: Callable[..., int], z: Tensor, bound: float, levels: int, *tensors: Tensor
) -> None:
    layer = _CLevels(z.numel(), HALF[z.dtype], bound, levels, levels / bound, bound / levels)
    threads = min(torch.get_num_threads(), -(-z.numel() // WORTH_A_THREAD))
    over_parts(run, layer, *tensors, count=-(-z.numel() // BLOCK), threads=threads)


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
    for dtype in HALF:
        result = found.forward(z.to(dtype), 2.0, 4)
        back, total = found.backward(z.to(dtype), gradient.to(dtype), 2.0, 4)
        if not torch.equal(result.float(), steps / 2) or not torch.equal(back.float(), inside):
            return False
        if abs(total - of_threshold) > 1e-3:
            return False
    return True
