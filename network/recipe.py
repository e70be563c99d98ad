"""How a network is trained: optimiser, schedule and what goes with them, as a value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

Precision = Literal["float32", "bfloat16"]
_SHARE: ContextVar[float] = ContextVar("share of the peak learning rate", default=1.0)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. Learning rates are per step of `batch_size` images.

    schedule: 'one-cycle' (Ledinauskas §3.1), 'step' (× gamma at the milestones, in epochs),
        'cosine', or 'constant'.
    """

    epochs: int = 10
    batch_size: int = 100
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    momentum: float = 0.9
    nesterov: bool = False
    schedule: Literal["one-cycle", "step", "cosine", "constant"] = "one-cycle"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    warm_up: float = 0.3
    clip_gradient: float | None = None
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.nesterov and not self.momentum > 0:
            raise ValueError(f"nesterov wants a momentum above 0, got {self.momentum}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")


def make_optimiser(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimiser of a recipe; norms, biases and thresholds are not decayed."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(
            groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.nesterov
        )
    kind = torch.optim.AdamW if recipe.optimiser == "adamw" else torch.optim.Adam
    return kind(groups, lr=recipe.learning_rate)


def learning_rate_at(recipe: Recipe, batch: int, batches_per_epoch: int) -> float:
    """Learning rate of batch number `batch` (from 0) of the whole training."""
    total = recipe.epochs * batches_per_epoch
    peak = recipe.learning_rate
    if recipe.schedule == "constant":
        return peak
    if recipe.schedule == "step":
        passed = sum(batch >= epoch * batches_per_epoch for epoch in recipe.milestones)
        return float(peak * recipe.gamma**passed)
    if recipe.schedule == "cosine":
        return 0.5 * peak * (1 + math.cos(math.pi * batch / total))
    rise = max(1.0, recipe.warm_up * total)  # one-cycle: peak/25 up to peak, down to peak/1000
    if batch < rise:
        return _between(peak / 25, peak, batch / rise)
    return _between(peak, peak / 1000, (batch - rise) / max(1.0, total - rise))


@contextmanager
def learning_at(share: float) -> Iterator[None]:
    """Objectives within see this share of the peak learning rate, as `fit` shows it to them."""
    token = _SHARE.set(share)
    try:
        yield
    finally:
        _SHARE.reset(token)


def learning_share() -> float:
    """Share of the peak at which an objective's batch is learned; 1 outside a training."""
    return _SHARE.get()


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))
