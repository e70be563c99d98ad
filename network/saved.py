"""What the backward pass keeps: as little as it can compute the rest from.

The layers behind neurons keep what they read for the gradient of their weights. Where that is a
tensor of 0 and 1, bytes hold the same and are turned back when they are needed. Batch norm keeps
what it reads too; the potentials of neurons behind it follow from that once more, bit for bit.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

Kept = Tensor | tuple[Tensor, torch.dtype]


def mark_spikes(x: Tensor) -> Tensor:
    """Say of a tensor that it holds 0 and 1 alone, as long as it is not written again."""
    x.spikes_at_version = _version(x)  # type: ignore[attr-defined]
    return x


def holds_spikes(x: object) -> bool:
    """Whether that was said of it, and nothing was written into it since."""
    marked = getattr(x, "spikes_at_version", None)
    return marked is not None and isinstance(x, Tensor) and marked == _version(x)


def _version(x: Tensor) -> int:
    """How often it was written in place; inference mode does not count it."""
    return -1 if x.is_inference() else x._version


def spikes_kept_as_bytes() -> AbstractContextManager[object]:
    """Within it marked tensors are saved for the backward pass as bytes."""
    return saved_tensors_hooks(_pack, _unpack) if torch.is_grad_enabled() else nullcontext()


def _pack(x: Tensor) -> Kept:
    if not holds_spikes(x):
        return x
    return x.detach().to(torch.int8), x.dtype  # faster than to uint8


def _unpack(kept: Kept) -> Tensor:
    return kept if isinstance(kept, Tensor) else kept[0].to(kept[1])


class Norm(NamedTuple):
    """A batch norm with the statistics of what it reads."""

    weight: Tensor | None
    bias: Tensor | None
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)


class Origin(NamedTuple):
    """Where the current of a layer comes from: `norm` of x [T·B, ...], which is kept anyway."""

    x: Tensor
    norm: Norm


def origin_of(module: nn.Module, x: Tensor, result: Tensor) -> Origin | None:
    """The origin of what a layer made of x; None where it is no batch norm of torch's own here."""
    made_by = type(result.grad_fn).__name__
    if not (isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.training):
        return None
    if "BatchNormBackward" not in made_by:  # processes that share a batch have their own
        return None
    weight, bias = getattr(module, "scale", module.weight), module.bias
    kept = [None if value is None else value.detach() for value in (weight, bias)]
    return Origin(x.detach(), Norm(kept[0], kept[1], module.eps))
