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
    """The optimiser of a recipe; norms, biases and thresholds are not decayed.

    A module's own parameters are learned at its `learning_share` of the rate, where it has one:
    an Adam step does not depend on how its gradient is scaled.
    """
    grouped: dict[tuple[float, bool], list[nn.Parameter]] = {}
    seen: set[int] = set()
    for module in network.modules():
        share = float(getattr(module, "learning_share", 1.0))
        for parameter in module.parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                grouped.setdefault((share, parameter.ndim > 1), []).append(parameter)
    groups = [
        {
            "params": grouped[share, matrices],
            "weight_decay": recipe.weight_decay if matrices else 0.0,
            "share": share,
        }
        for share, matrices in sorted(grouped, reverse=True)
    ]
    rate = recipe.learning_rate
    optimiser: torch.optim.Optimizer
    if recipe.optimiser == "sgd":
        optimiser = torch.optim.SGD(
            groups, lr=rate, momentum=recipe.momentum, nesterov=recipe.nesterov
        )
    else:
        kind = torch.optim.AdamW if recipe.optimiser == "adamw" else torch.optim.Adam
        optimiser = kind(groups, lr=rate)
    set_rate(optimiser, rate)
    return optimiser


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of an optimiser of `make_optimiser`, each group at its share of it."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("share", 1.0)


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
