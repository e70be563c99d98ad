"""How tensors lie in memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def channels_last(x: Tensor) -> Tensor:
    """Images [B, C, H, W] laid out as [B, H, W, C], the faster layout of convolutions on CPUs.

    Layers keep the layout of what they read. (`contiguous` would leave images of one channel as
    they are, and the first convolution would then put out the other layout.)
    """
    if x.ndim != 4:
        return x
    return torch.empty_like(x, memory_format=torch.channels_last).copy_(x)


@torch.no_grad()
def layout_of(network: nn.Module, shape: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    """How to lay out images of this shape for a network, whose weights follow.

    channels_last, unless its own forward pass takes a `view` that only the other layout has.
    """
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    images = torch.zeros(2, *shape, device=device)
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        network(images)
        network.to(memory_format=torch.channels_last)
        network(channels_last(images))
    except RuntimeError as error:
        if "view size is not compatible" not in str(error):
            return channels_last
        network.to(memory_format=torch.contiguous_format)
        return torch.Tensor.contiguous
    finally:
        for module, mode in modes.items():
            module.training = mode
    return channels_last


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
