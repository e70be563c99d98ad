"""Whole-number convolutions and linear layers: the one wrapper of torch's inner 8-bit operators.

uint8 numbers times int8 weights, summed in int32 and put out as float32, which is exact below
2²⁴. The operators carry no promise of torch, and some machines saturate in between: `find_units`
tries them on this machine first, and everything has the same result in float64 without them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """Geometry of a convolution; None in its place means a linear layer."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


class Operator(Protocol):
    """x uint8 [N, ...] to whole numbers, weight applied to x plus bias, as float32 or float64."""

    def __call__(self, x: Tensor) -> Tensor: ...


Pack = Callable[[Tensor, Tensor | None, Window | None], Operator]


@dataclass(frozen=True)
class Units:
    """How whole numbers are computed here.

    weight_limit: largest weight that an operator takes. sum_limit: sums stay below it, exact.
    pack(weight, bias, window): weights as whole numbers in a float64 tensor.
    note: one line for the log.
    """

    weight_limit: int
    sum_limit: int
    pack: Pack
    note: str


@dataclass(frozen=True)
class _Packed8Bit:
    weight: Tensor
    scale: Tensor
    zero: Tensor
    bias: Tensor | None
    window: Window | None
    thinned: tuple[int, ...] = (1, 1)  # only every so many rows and columns are read

    def __call__(self, x: Tensor) -> Tensor:
        if self.thinned != (1, 1):
            rows, columns = self.thinned
            x = x[:, :, ::rows, ::columns].contiguous(memory_format=torch.channels_last)
        head = (x, 1.0, 0, self.weight, self.scale, self.zero, self.bias)
        plain: tuple[Any, ...] = (1.0, 0, torch.float32, "none", [], "")
        result: Tensor
        if self.window is None:
            result = torch.ops.onednn.qlinear_pointwise(*head, *plain)
        else:
            w = self.window
            place = (w.stride, w.padding, w.dilation, w.groups)
            result = torch.ops.onednn.qconv2d_pointwise(*head, *place, *plain)
        return result


def _pack_8_bit(weight: Tensor, bias: Tensor | None, window: Window | None) -> Operator:
    whole = weight.to(torch.int8)
    scale = torch.ones(len(weight))
    zero = torch.zeros(len(weight), dtype=torch.int32)
    thinned: tuple[int, ...] = (1, 1)
    if window is not None and weight.shape[2:] == (1, 1) and not any(window.padding):
        # with a stride and two threads oneDNN's sums differ from run to run (AVX2, torch 2.14)
        thinned, window = window.stride, replace(window, stride=(1, 1))
    if window is None:
        packed = torch.ops.onednn.qlinear_prepack(whole, None)
    else:
        packed = torch.ops.onednn.qconv_prepack(
            whole, scale, 1.0, 0, window.stride, window.padding, window.dilation, window.groups
        )
    shift = None if bias is None else bias.float()
    return _Packed8Bit(packed, scale, zero, shift, window, thinned)


@dataclass(frozen=True)
class _Float64:
    weight: Tensor
    bias: Tensor | None
    window: Window | None

    def __call__(self, x: Tensor) -> Tensor:
        if self.window is None:
            return F.linear(x.double(), self.weight, self.bias)
        w = self.window
        return F.conv2d(
            x.double(), self.weight, self.bias, w.stride, w.padding, w.dilation, w.groups
        )


def _pack_float64(weight: Tensor, bias: Tensor | None, window: Window | None) -> Operator:
    return _Float64(weight.double(), bias, window)


def float64_units(reason: str) -> Units:
    """Whole numbers in float64: exact below 2⁵³, on any machine."""
    return Units(2**31, 2**53, _pack_float64, f"fixed point runs in float64: {reason}")


@cache
def find_units(largest: int, device: str = "cpu") -> Units:
    """The fastest exact arithmetic here for inputs 0 … largest (at most 255)."""
    if device != "cpu":
        return float64_units(f"the 8-bit operators run on the CPU, not on {device}")
    try:
        exact = _agree(largest)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return float64_units(f"torch {torch.__version__} lacks the 8-bit operators here")
    if not exact:
        return float64_units("the 8-bit operators of this machine saturate")
    return Units(127, 2**24, _pack_8_bit, "fixed point runs in 8-bit operators")


def _agree(largest: int) -> bool:
    """Whether the operators equal float64, on the largest numbers and on mixed ones.

    No sum here passes 72 · 128 · 255, which is below 2²⁴.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, largest + 1, (2, 8, 6, 6), generator=generator).to(torch.uint8)
    x[0] = largest
    weight = torch.randint(-128, 128, (24, 8, 3, 3), generator=generator).double()
    weight[:2], weight[2:4] = 127, -128
    bias = torch.randint(-1000, 1000, (24,), generator=generator).double()
    around = Window((1, 1), (1, 1), (1, 1), 1)
    layers = [
        (x.contiguous(memory_format=torch.channels_last), weight, around),
        (x[:, :, :3, :3].flatten(1), weight.flatten(1), None),
    ]
    for value, weights, window in layers:
        fast = _pack_8_bit(weights, bias, window)(value)
        if not torch.equal(fast.double(), _pack_float64(weights, bias, window)(value)):
            return False
    return True
