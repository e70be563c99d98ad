"""Windows of convolutions and poolings: their sizes, and average pooling as a sum."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from network.functional import Mean

_Size = int | tuple[int, int]


def sum_pool(module: nn.Module, x: Tensor) -> Tensor:
    """Average pooling of float64 [B, C, ...] with every window summed."""
    if isinstance(module, Mean):
        return x.sum(module.axes, keepdim=module.keepdim)
    if isinstance(module, nn.AvgPool2d):
        return _summed(x, module.kernel_size, module.stride, module.padding, module.ceil_mode)
    if isinstance(module, nn.AvgPool1d):
        names = ("kernel_size", "stride", "padding")
        kernel, stride, padding = (_by_axis(module, name)[-1] for name in names)
        row = x.unsqueeze(-2)
        pooled = _summed(row, (1, kernel), (1, stride), (0, padding), module.ceil_mode)
        return pooled.squeeze(-2)
    assert isinstance(module, nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d)
    averaged: Tensor = module(x)
    return averaged * _adaptive_windows(module, x)


def _summed(x: Tensor, kernel: _Size, stride: _Size, padding: _Size, ceil_mode: bool) -> Tensor:
    return F.avg_pool2d(x, kernel, stride, padding, ceil_mode, divisor_override=1)


def _adaptive_windows(module: nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d, x: Tensor) -> Tensor:
    """How many places each output reads, float64 of the size of an output map."""
    axes = 1 if isinstance(module, nn.AdaptiveAvgPool1d) else 2
    given = module.output_size
    wanted = given if isinstance(given, Sequence) else (given,) * axes
    windows = torch.ones((), dtype=torch.float64)
    for places, outputs in zip(x.shape[-axes:], wanted, strict=True):
        windows = windows.unsqueeze(-1) * _lengths(places, outputs)
    return windows


def _lengths(places: int, outputs: int | None) -> Tensor:
    """Along one axis: output i of m reads from floor(i·n/m) to below ceil((i + 1)·n/m)."""
    m = places if outputs is None else outputs
    lengths = [-(-(i + 1) * places // m) - i * places // m for i in range(m)]
    return torch.tensor(lengths, dtype=torch.float64)


def geometry(module: nn.Module, output: Tensor) -> dict[str, int]:
    """What the energy models with memory need, from a layer and its output for one image.

    A map with one axis has one row; a third axis counts with the rows.
    """
    if isinstance(module, nn.Linear):
        positions = output.numel() // module.out_features
        return _sizes(module.in_features, module.out_features, (1,), 1, (positions,), 1)
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        inputs, groups = module.in_channels // module.groups, module.groups
        kernel, stride = module.kernel_size, module.stride[0]
        return _sizes(inputs, module.out_channels, kernel, stride, output.shape[2:], groups)
    channels = output.shape[1]
    kernel, stride = _by_axis(module, "kernel_size"), _by_axis(module, "stride")[0]
    return _sizes(1, channels, kernel, stride, output.shape[2:], channels)


def _by_axis(module: nn.Module, name: str) -> tuple[int, ...]:
    """A setting of a pooling layer by axis; 1 where it has none, as adaptive pooling."""
    value = getattr(module, name, 1)
    return (value, value) if isinstance(value, int) else tuple(value)


def _sizes(
    in_channels: int,
    out_channels: int,
    kernel: Sequence[int],
    stride: int,
    places: Sequence[int],
    groups: int,
) -> dict[str, int]:
    kernel_height, kernel_width = _rows_and_columns(kernel)
    out_height, out_width = _rows_and_columns(places)
    return {
        "in_channels": in_channels,
        "out_channels": out_channels,
        "kernel_height": kernel_height,
        "kernel_width": kernel_width,
        "stride": stride,
        "out_height": out_height,
        "out_width": out_width,
        "groups": groups,
    }


def _rows_and_columns(axes: Sequence[int]) -> tuple[int, int]:
    *rows, columns = (1, *axes)
    return math.prod(rows), columns
