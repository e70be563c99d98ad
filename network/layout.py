"""How tensors lie in memory."""

from __future__ import annotations

import torch
from torch import Tensor


def channels_last(x: Tensor) -> Tensor:
    """Images [B, C, H, W] laid out as [B, H, W, C], the faster layout of convolutions on CPUs.

    Layers keep the layout of what they read. (`contiguous` would leave images of one channel as
    they are, and the first convolution would then put out the other layout.)
    """
    if x.ndim != 4:
        return x
    return torch.empty_like(x, memory_format=torch.channels_last).copy_(x)


def strides_of_steps(x: Tensor) -> tuple[int, ...]:
    """Strides of [T, B, ...] whose steps lie one behind the other, each as x[t] does."""
    one = torch.empty_like(x[0], device="meta")
    return one.numel(), *one.stride()


def like_each_step(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Empty [T, B, ...], laid out in memory as each x[t] is, also where x repeats one step."""
    return torch.empty_strided(x.shape, strides_of_steps(x), dtype=dtype, device=x.device)


def laid_out(x: Tensor, strides: tuple[int, ...]) -> Tensor:
    """x where it has these strides, else a copy that does."""
    if x.stride() == strides:
        return x
    return torch.empty_strided(x.shape, strides, dtype=x.dtype, device=x.device).copy_(x)
