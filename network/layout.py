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


def like_each_step(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Empty [T, B, ...], laid out in memory as each x[t] is, also where x repeats one step."""
    one = torch.empty_like(x[0], device="meta")
    strides = (one.numel(), *one.stride())
    return torch.empty_strided(x.shape, strides, dtype=dtype, device=x.device)
