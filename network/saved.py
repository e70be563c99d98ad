"""What the backward pass keeps of spikes: one byte each, not the four of a float32.

The layers behind neurons keep what they read for the gradient of their weights. Where that is a
tensor of 0 and 1, bytes hold the same and are turned back when they are needed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

Kept = Tensor | tuple[Tensor, torch.dtype]


def mark_spikes(x: Tensor) -> Tensor:
    """Say of a tensor that it holds 0 and 1 alone; it is not written again."""
    x.holds_spikes = True  # type: ignore[attr-defined]
    return x


def spikes_kept_as_bytes() -> AbstractContextManager[object]:
    """Within it marked tensors are saved for the backward pass as bytes."""
    return saved_tensors_hooks(_pack, _unpack) if torch.is_grad_enabled() else nullcontext()


def _pack(x: Tensor) -> Kept:
    if not getattr(x, "holds_spikes", False):
        return x
    return x.detach().to(torch.uint8), x.dtype


def _unpack(kept: Kept) -> Tensor:
    return kept if isinstance(kept, Tensor) else kept[0].to(kept[1])
