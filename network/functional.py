"""Functional calls in their module form: F.relu(x) as nn.ReLU()(x), and so on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Activations that no firing rate follows: smooth or with negative values; those that saturate.
SMOOTH = (
    nn.GELU, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.PReLU, nn.Mish, nn.Hardswish, nn.Softplus, nn.SELU,
    nn.CELU,
)  # fmt: skip
SATURATING = (nn.Sigmoid, nn.Tanh, nn.Hardsigmoid, nn.Softsign)


class ClippedReLU(nn.Module):
    """min(max(x, 0), bound): what ReLU6, hardtanh(0, b) and clamp(0, b) are."""

    def __init__(self, bound: float) -> None:
        super().__init__()
        self.bound = bound

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(0.0, self.bound)

    def extra_repr(self) -> str:
        return f"bound={self.bound}"


Build = Callable[..., nn.Module | None]


def _relu(inplace: bool = False) -> nn.Module:
    del inplace
    return nn.ReLU()


def _clamp(min: Any = None, max: Any = None) -> nn.Module | None:
    if min == 0 and max is None:
        return nn.ReLU()
    return ClippedReLU(float(max)) if min == 0 and isinstance(max, int | float) else None


def hardtanh(min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    del inplace
    return _clamp(min_val, max_val)


def _clamp_min(min: Any) -> nn.Module | None:
    return _clamp(min)


def _threshold(threshold: float, value: float, inplace: bool = False) -> nn.Module | None:
    del inplace
    return nn.ReLU() if threshold == value == 0 else None


def _pad(pad: Any, mode: str = "constant", value: float | None = None) -> nn.Module | None:
    """Zeros around the last axes, as in shortcuts that fill up channels."""
    kinds = {2: nn.ZeroPad1d, 4: nn.ZeroPad2d, 6: nn.ZeroPad3d}
    sizes = tuple(pad) if isinstance(pad, tuple | list) else ()
    plain = mode == "constant" and not value and all(isinstance(size, int) for size in sizes)
    kind = kinds.get(len(sizes)) if plain else None
    return None if kind is None else kind(sizes)  # type: ignore[arg-type]  # as long as it takes


_CONSTANT_PADS = (nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d)


def in_plain_form(module: nn.Module) -> nn.Module | None:
    """The layer that the rest of the code knows, where a module is one under another name."""
    if type(module) is nn.Hardtanh:
        clipped: nn.Module | None = hardtanh(module.min_val, module.max_val)
        return clipped
    if type(module) is nn.Threshold:
        return _threshold(module.threshold, module.value)
    if type(module) in _CONSTANT_PADS:
        return _pad(module.padding, value=float(module.value))  # type: ignore[arg-type]  # a number
    return None


def _relu6(inplace: bool = False) -> nn.Module:
    del inplace
    return nn.ReLU6()


def _dropout(kind: Callable[[float], nn.Module]) -> Build:
    """`training` is what it was while the network was traced; the module follows its own mode."""

    def build(p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module:
        del training, inplace
        return kind(p)

    return build


def _avg_pool2d(
    kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> nn.Module:  # fmt: skip
    return nn.AvgPool2d(
        kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def _max_pool2d(
    kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> nn.Module | None:  # fmt: skip
    if return_indices:
        return None
    return nn.MaxPool2d(kernel_size, stride, padding, dilation, False, ceil_mode)


def _adaptive_avg_pool2d(output_size: Any) -> nn.Module:
    return nn.AdaptiveAvgPool2d(output_size)


def _max_pool1d(
    kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> nn.Module | None:  # fmt: skip
    if return_indices:
        return None
    return nn.MaxPool1d(kernel_size, stride, padding, dilation, False, ceil_mode)


def _adaptive_max_pool2d(output_size: Any, return_indices: bool = False) -> nn.Module | None:
    return None if return_indices else nn.AdaptiveMaxPool2d(output_size)


def _amax(dim: Any = None, keepdim: bool = False) -> nn.Module | None:
    """amax over the two spatial axes is global max pooling."""
    if not _are_sides(dim):
        return None
    return nn.AdaptiveMaxPool2d(1) if keepdim else GlobalMax()


def _mean(dim: Any = None, keepdim: bool = False) -> nn.Module | None:
    """mean over the two spatial axes is global average pooling; over another, a mean of its own,
    unless that axis may be the one of the images."""
    if _are_sides(dim):
        return nn.AdaptiveAvgPool2d(1) if keepdim else GlobalAverage()
    axes = tuple(dim) if isinstance(dim, tuple | list) else (dim,)
    known = all(isinstance(axis, int) and (axis > 0 or axis == -1) for axis in axes)
    return Mean(axes, keepdim) if known else None


def _are_sides(dim: Any) -> bool:
    return isinstance(dim, tuple | list) and tuple(sorted(dim)) in ((2, 3), (-2, -1))


class Mean(nn.Module):
    """x.mean(axes) over axes that are not the one of the images."""

    def __init__(self, axes: Sequence[int], keepdim: bool = False) -> None:
        super().__init__()
        self.axes, self.keepdim = tuple(axes), keepdim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(self.axes, keepdim=self.keepdim)

    def extra_repr(self) -> str:
        return f"axes={self.axes}, keepdim={self.keepdim}"


class GlobalMax(nn.AdaptiveMaxPool2d):
    """x.amax((2, 3)): global max pooling without the spatial axes."""

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = super().forward(input)
        return pooled.flatten(1)


class GlobalAverage(nn.AdaptiveAvgPool2d):
    """x.mean((2, 3)): global average pooling without the spatial axes."""

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input).flatten(1)


DROPOUT_FUNCTIONS: dict[Any, Callable[[float], nn.Module]] = {
    F.dropout: nn.Dropout, F.dropout1d: nn.Dropout1d, F.dropout2d: nn.Dropout2d,
    F.dropout3d: nn.Dropout3d, F.alpha_dropout: nn.AlphaDropout,
    F.feature_alpha_dropout: nn.FeatureAlphaDropout, torch.dropout: nn.Dropout,
}  # fmt: skip


class SquareAverage(nn.AdaptiveAvgPool2d):
    """avg_pool2d(x, x.shape[3]): global average pooling of square maps; ValueError for others."""

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        height, width = input.shape[-2:]
        if height != width:
            raise ValueError(
                f"avg_pool2d with one side as its kernel needs square maps, got {height} by "
                f"{width}: write it as nn.AdaptiveAvgPool2d"
            )
        return super().forward(input)


def square_average(x: torch.Tensor) -> torch.Tensor:
    """SquareAverage as a function."""
    return SquareAverage()(x)


FUNCTIONS: dict[Any, Build] = {
    square_average: SquareAverage,
    F.relu: _relu, torch.relu: _relu, torch.relu_: _relu, "relu": _relu, "relu_": _relu,
    F.relu6: _relu6, F.hardtanh: hardtanh,
    torch.clamp: _clamp, torch.clip: _clamp, "clamp": _clamp, "clip": _clamp, "clamp_": _clamp,
    torch.clamp_min: _clamp_min, "clamp_min": _clamp_min, F.threshold: _threshold, F.pad: _pad,
    F.avg_pool2d: _avg_pool2d, F.max_pool2d: _max_pool2d,
    F.adaptive_avg_pool2d: _adaptive_avg_pool2d, torch.mean: _mean, "mean": _mean,
    **{function: _dropout(kind) for function, kind in DROPOUT_FUNCTIONS.items()},
    F.avg_pool1d: nn.AvgPool1d, F.max_pool1d: _max_pool1d, torch.max_pool1d: _max_pool1d,
    F.adaptive_avg_pool1d: nn.AdaptiveAvgPool1d, F.adaptive_max_pool2d: _adaptive_max_pool2d,
    torch.amax: _amax, "amax": _amax,
}  # fmt: skip


class Pointwise(nn.Conv2d):
    """A convolution of kernel 1 with a stride, without padding: every so many places are read.

    The map is thinned first and the stride left out. oneDNN's own way (torch 2.14, AVX2, channels
    last) writes past its memory in the backward pass where there are few input channels.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows, columns = self.stride
        return F.conv2d(input[:, :, ::rows, ::columns], weight, bias, groups=self.groups)
