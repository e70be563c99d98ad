"""Whole-number convolutions and linear layers: the one wrapper of torch's inner 8-bit operators.

uint8 numbers times int8 weights, summed in int32 and put out as float32, which is exact below
2²⁴. The operators carry no promise of torch, and some machines saturate in between: `find_units`
tries them on this machine first, and everything has the same result in float64 without them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

EXACT = 2**24  # whole numbers up to here are exact in float32


@dataclass(frozen=True)
class Window:
    """Geometry of a convolution; None in its place means a linear layer."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


class Operator(Protocol):
    """x uint8 [N, ...] to whole numbers: factor · (weight applied to x) + bias [+ onto].

    `onto` may be overwritten. The result is float32 or float64, whichever is exact.
    """

    def __call__(self, x: Tensor, onto: Tensor | None = None) -> Tensor: ...


Pack = Callable[[Tensor, Tensor | None, Window | None, int], Operator]


@dataclass(frozen=True)
class Units:
    """How whole numbers are computed here.

    weight_limit: largest weight that an operator takes.
    pack(weight, bias, window, factor): weights as whole numbers in a float64 tensor.
    note: one line for the log.
    """

    weight_limit: int
    pack: Pack
    note: str


@dataclass(frozen=True)
class _Packed8Bit:
    weight: Tensor
    scale: Tensor
    zero: Tensor
    bias: Tensor | None
    window: Window | None

    def __call__(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        if self.window is None:
            return self._linear(x, onto)
        return self._convolution(x, self.window, onto)

    def _linear(self, x: Tensor, onto: Tensor | None) -> Tensor:
        head = (x, 1.0, 0, self.weight, self.scale, self.zero)
        tail = (1.0, 0, torch.float32)
        call = torch.ops.onednn.qlinear_pointwise
        if onto is None:
            result: Tensor = call(*head, self.bias, *tail, "none", [], "")
        else:
            result = call.binary(*head, onto, self.bias, *tail, 1.0, 0, "sum", 1.0, "none", [], "")
        return result

    def _convolution(self, x: Tensor, window: Window, onto: Tensor | None) -> Tensor:
        head = (x, 1.0, 0, self.weight, self.scale, self.zero)
        place = (window.stride, window.padding, window.dilation, window.groups)
        tail = (1.0, 0, torch.float32)
        call = torch.ops.onednn.qconv2d_pointwise
        if onto is None:
            result: Tensor = call(*head, self.bias, *place, *tail, "none", [], "")
        else:
            result = call.binary(
                *head, onto, self.bias, *place, *tail, 1.0, 0, "sum", 1.0, None, [], None
            )
        return result


def _pack_8_bit(
    weight: Tensor, bias: Tensor | None, window: Window | None, factor: int
) -> Operator:
    whole = weight.to(torch.int8)
    channels = len(weight)
    scale = torch.full((channels,), float(factor))
    zero = torch.zeros(channels, dtype=torch.int32)
    if window is None:
        packed = torch.ops.onednn.qlinear_prepack(whole, None)
    else:
        packed = torch.ops.onednn.qconv_prepack(
            whole, scale, 1.0, 0, window.stride, window.padding, window.dilation, window.groups
        )
    return _Packed8Bit(packed, scale, zero, None if bias is None else bias.float(), window)


@dataclass(frozen=True)
class _Float64:
    weight: Tensor
    bias: Tensor | None
    window: Window | None

    def __call__(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        if self.window is None:
            result = F.linear(x.double(), self.weight, self.bias)
        else:
            w = self.window
            result = F.conv2d(
                x.double(), self.weight, self.bias, w.stride, w.padding, w.dilation, w.groups
            )
        return result if onto is None else onto.add_(result)


def _pack_float64(
    weight: Tensor, bias: Tensor | None, window: Window | None, factor: int
) -> Operator:
    return _Float64(weight.double() * factor, bias, window)


def float64_units(reason: str) -> Units:
    """Whole numbers in float64: exact below 2⁵³, on any machine."""
    return Units(2**31, _pack_float64, f"fixed point runs in float64: {reason}")


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
    return Units(127, _pack_8_bit, "fixed point runs in 8-bit operators")


def _agree(largest: int) -> bool:
    """Whether the operators equal float64, on the largest numbers and on mixed ones.

    No sum here passes (1 + 4) · 72 · 128 · 255, which is below 2²⁴.
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
        results = []
        for pack in (_pack_8_bit, _pack_float64):
            first = pack(weights, bias, window, 1)(value)
            results.append(pack(weights, None, window, 4)(value, first).double())
        if not torch.equal(*results):
            return False
    return True
