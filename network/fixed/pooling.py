"""Pooling in whole numbers: averages of spikes as sums up to 255, maxima of summed currents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from network.fixed.parts import Part
from network.functional import GlobalAverage
from network.layout import channels_last
from network.pooling import PooledCurrent, PooledState
from network.sums import Pooling

_PACKED_LIMIT = 127  # the highest byte of a packed integer must not reach the sign


class PooledTotals:
    """One run of max pooling of a summed current, in float64: exact for whole numbers up to 2⁵³."""

    def __init__(self, pool: PooledCurrent) -> None:
        self.pool = pool
        self.state: PooledState | None = None

    def advance(self, parts: Sequence[Part]) -> Part:
        """The pooled current of a chunk, int32 [T, B, C, ...], from what adds to it."""
        nothing = torch.zeros((), dtype=torch.float64)
        current = sum((part.numbers.double() * part.factor for part in parts), nothing)
        pooled, self.state = self.pool.advance(current, self.state)
        flat = channels_last(pooled.flatten(0, 1).int())
        return Part(flat.unflatten(0, (len(pooled), -1)), 1)


@dataclass(frozen=True)
class KernelTotals:
    """One run of the same in the C kernel; totals: int64 [B, C, H, W], 0 before the first step."""

    pooling: Pooling
    totals: Tensor


def max_pooling_of(module: nn.Module, height: int, width: int) -> Pooling | None:
    """Windows of max pooling of maps of this size; None where they are not alike, or have gaps."""
    if isinstance(module, nn.AdaptiveMaxPool2d):
        tile = _tile_of(module, height, width)
        return None if tile is None else Pooling(tile, tile)
    if not isinstance(module, nn.MaxPool2d) or _pair(module.dilation) != (1, 1):
        return None
    return Pooling(_pair(module.kernel_size), _pair(module.stride), _pair(module.padding))


@dataclass(frozen=True)
class SumPool:
    """Sums over windows of uint8 numbers 0 … largest, [N, C, H, W], channels last.

    divisor: what the average divides each sum by.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    divisor: int
    flatten: bool

    @property
    def numbers(self) -> int:
        """How many numbers a sum has at most."""
        return self.kernel[0] * self.kernel[1]

    def __call__(self, x: Tensor, largest: int) -> Tensor:
        height, width = self.kernel
        tiles = self.stride == self.kernel and self.padding == (0, 0)
        if tiles and largest * self.numbers <= _PACKED_LIMIT:
            x = x[:, :, : x.shape[2] // height * height, : x.shape[3] // width * width]
            pooled = _sum_tiles(x, height, width)
        else:
            pooled = F.avg_pool2d(
                x.float(), self.kernel, self.stride, self.padding, divisor_override=1
            ).to(torch.uint8)
        return pooled.flatten(1) if self.flatten else pooled


def _sum_tiles(x: Tensor, height: int, width: int) -> Tensor:
    """Sums over tiles, several channels at once: neighbours in memory are added as one integer."""
    last = x.permute(0, 2, 3, 1).contiguous()
    wide = last.view(_integer_of(last.shape[-1]))
    rows = wide[:, 0::height].clone()
    for row in range(1, height):
        rows.add_(wide[:, row::height])
    tiles = rows[:, :, 0::width].clone()
    for column in range(1, width):
        tiles.add_(rows[:, :, column::width])
    return tiles.view(torch.uint8).permute(0, 3, 1, 2)


def _integer_of(channels: int) -> torch.dtype:
    """The widest integer that a pixel's channels fill without a rest."""
    if channels % 8 == 0:
        return torch.int64
    if channels % 4 == 0:
        return torch.int32
    return torch.int16 if channels % 2 == 0 else torch.uint8


def sum_pool_of(module: nn.Module, height: int, width: int) -> SumPool | None:
    """Average pooling of maps of this size as a sum; None where the divisor is not constant."""
    if isinstance(module, nn.AdaptiveAvgPool2d):
        kernel = _tile_of(module, height, width)
        if kernel is None:
            return None
        flatten = isinstance(module, GlobalAverage)
        return SumPool(kernel, kernel, (0, 0), kernel[0] * kernel[1], flatten)
    if not isinstance(module, nn.AvgPool2d):
        return None
    kernel, stride = _pair(module.kernel_size), _pair(module.stride)
    padding = _pair(module.padding)
    if module.ceil_mode or (padding != (0, 0) and not module.count_include_pad):
        return None
    divisor = module.divisor_override or kernel[0] * kernel[1]
    return SumPool(kernel, stride, padding, divisor, flatten=False)


def _tile_of(
    module: nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d, height: int, width: int
) -> tuple[int, int] | None:
    """Windows of adaptive pooling of maps of this size; None where they are not alike."""
    size = module.output_size
    wanted = (size, size) if isinstance(size, int | None) else size
    rows, columns = wanted[0] or height, wanted[1] or width
    return None if height % rows or width % columns else (height // rows, width // columns)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
