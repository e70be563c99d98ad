"""Whole-number convolutions and linear layers: the one wrapper of torch's inner 8-bit operators.

On a CPU uint8 numbers times int8 weights, summed in int32 and put out as float32, which is exact
below 2²⁴; on an accelerator int8 matrix products in int32. The operators carry no promise of torch,
and some machines saturate in between: `find_units` tries them on this machine first, and everything
has the same result in float64 without them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    def outputs(self, size: Sequence[int], kernel: Sequence[int]) -> list[int]:
        """Height and width of what a map of `size` is turned into."""
        return [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(
                size, kernel, self.stride, self.padding, self.dilation, strict=True
            )
        ]


def in_bytes(q: Tensor, count: int) -> list[Tensor]:
    """Whole numbers as `count` parts, the lowest first: q = Σ 256^i · parts[i].

    All parts but the last, which is what is left, lie in −128 … 127.
    """
    found: list[Tensor] = []
    for _ in range(count - 1):
        high = ((q + 128) / 256).floor()
        found.append(q - 256 * high)
        q = high
    return [*found, q]


def count_bytes(q: Tensor) -> int:
    """Parts of in_bytes of which the last lies in −127 … 127, too."""
    count = 1
    while q.abs().max() > 127:
        q, count = ((q + 128) / 256).floor(), count + 1
    return count


class Operator(Protocol):
    """x uint8 [N, ...] to weight applied to x plus bias: whole numbers of any type."""

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


@dataclass(frozen=True)
class _MatrixProduct:
    """int8 matrix products in int32, all bytes of a weight in one.

    weight: int8 [8·⌈F/8⌉, 8·⌈O·P/8⌉], F features of a window (channels last), P parts: bytes from
    the lowest on.
    kernel: (kh, kw) of a convolution. bias: int32 [O].
    """

    weight: Tensor
    parts: int
    outputs: int
    kernel: tuple[int, ...]
    bias: Tensor | None
    window: Window | None

    def __call__(self, x: Tensor) -> Tensor:
        rows, size = x.contiguous(), torch.Size((len(x),))
        if self.window is not None:
            rows, size = _windows(x, self.kernel, self.window)
        missing = max(0, LEAST_ROWS - len(rows))
        if missing or rows.shape[1] < len(self.weight):
            rows = F.pad(rows, (0, len(self.weight) - rows.shape[1], 0, missing))
        sums = torch._int_mm(rows.view(torch.int8), self.weight)[: len(rows) - missing]
        result = sums[:, : self.outputs]
        for part in range(1, self.parts):
            own = sums[:, part * self.outputs : (part + 1) * self.outputs]
            result = result.add(own, alpha=256**part)
        if self.bias is not None:
            result = result + self.bias
        return result.unflatten(0, size).movedim(-1, 1)


LEAST_ROWS = 17  # of a matrix product, as cuBLAS has it


def _windows(x: Tensor, kernel: tuple[int, ...], window: Window) -> tuple[Tensor, torch.Size]:
    """What every output reads: uint8 [N·H'·W', kh·kw·C], and (N, H', W')."""
    rows, columns = window.padding
    size = window.outputs(x.shape[2:], kernel)
    image = x.permute(0, 2, 3, 1).contiguous()
    channels = image.shape[-1]
    if channels % 8 == 0:
        image = image.view(torch.int64)  # eight channels are copied at once
    if rows or columns:
        image = F.pad(image, (0, 0, columns, columns, rows, rows))
    n, y, z, c = image.stride()
    steps = (n, y * window.stride[0], z * window.stride[1])
    inside = (y * window.dilation[0], z * window.dilation[1], c)
    shape = (len(image), *size, *kernel, image.shape[-1])
    copied = image.as_strided(shape, (*steps, *inside)).reshape(len(image) * size[0] * size[1], -1)
    return copied.view(torch.uint8), torch.Size((len(image), *size))


def _pack_matrix(weight: Tensor, bias: Tensor | None, window: Window | None) -> Operator:
    if window is not None and window.groups != 1:
        return _pack_float64(weight, bias, window)
    kernel = tuple(weight.shape[2:])
    whole = (weight.permute(0, 2, 3, 1) if kernel else weight).flatten(1)
    parts = in_bytes(whole, count_bytes(whole))
    columns = torch.cat(parts)
    outputs, features = columns.shape
    columns = F.pad(columns, (0, -features % 8, 0, -outputs % 8))
    shift = None if bias is None else bias.to(torch.int32)
    packed = columns.to(torch.int8).contiguous().t()
    return _MatrixProduct(packed, len(parts), len(weight), kernel, shift, window)


def float64_units(reason: str) -> Units:
    """Whole numbers in float64: exact below 2⁵³, on any machine."""
    return Units(2**31, 2**53, _pack_float64, f"fixed point runs in float64: {reason}")


OPERATORS = Units(127, 2**24, _pack_8_bit, "fixed point runs in 8-bit operators")
MATRIX_PRODUCTS = Units(
    2**23 - 2**15 - 129, 2**31, _pack_matrix, "fixed point runs in 8-bit matrix products"
)


@cache
def find_units(largest: int, device: str = "cpu") -> Units:
    """The fastest exact arithmetic here for inputs 0 … largest (at most 255)."""
    units = OPERATORS if device == "cpu" else MATRIX_PRODUCTS
    if device != "cpu" and largest > 127:
        return float64_units(f"8-bit matrix products take inputs up to 127, not {largest}")
    try:
        exact = _agree(units, largest, device)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return float64_units(f"torch {torch.__version__} lacks the 8-bit operators here")
    if not exact:
        return float64_units("the 8-bit operators of this machine saturate")
    return units


def _agree(units: Units, largest: int, device: str) -> bool:
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
        fast = units.pack(weights.to(device), bias.to(device), window)(value.to(device))
        if not torch.equal(fast.double().cpu(), _pack_float64(weights, bias, window)(value)):
            return False
    return True
