"""How a network is trained: optimiser, schedule and the rest, as a value. Loads no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

Optimiser = Literal["adamw", "adam", "sgd"]
Precision = Literal["float32", "bfloat16"]
Schedule = Literal["one-cycle", "triangle", "step", "cosine", "constant"]
_SHARE: ContextVar[float] = ContextVar("share of the peak learning rate", default=1.0)
_PROGRESS: ContextVar[float] = ContextVar("share of the training that is done", default=1.0)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. Learning rates are per step of `batch_size` images.

    schedule: 'one-cycle' (Ledinauskas §3.1), 'triangle' (Jordan 2024), 'step' (× gamma at the
        milestones, in epochs), 'cosine', or 'constant'.
    bias_rate: biases of batch norm learn at so many times the rate (Jordan 2024).
    lookahead: the weights are pulled to a running mean of theirs (network.lookahead).
    whitened: the first convolution whitens patches and is not trained (network.start.whiten).
    identity: hidden convolutions start by handing on their input (network.start.pass_through).
    fixed_scales: scales of batch norm stay what they are (network.start.fix_scales).
    """

    FEWEST_EPOCHS: ClassVar[int] = 1

    epochs: int = 10
    batch_size: int = 100
    optimiser: Optimiser = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    momentum: float = 0.9
    nesterov: bool = False
    schedule: Schedule = "one-cycle"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    warm_up: float = 0.3
    bias_rate: float = 1.0
    lookahead: bool = False
    whitened: bool = False
    identity: bool = False
    fixed_scales: bool = False
    clip_gradient: float | None = None
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for name, allowed in (("optimiser", Optimiser), ("schedule", Schedule)):
            if getattr(self, name) not in get_args(allowed):
                known = ", ".join(get_args(allowed))
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")
        for name, fewest in (("epochs", self.FEWEST_EPOCHS), ("batch_size", 1)):
            if getattr(self, name) < fewest:
                raise ValueError(f"{name} must be at least {fewest}, got {getattr(self, name)}")
        if self.nesterov and not self.momentum > 0:
            raise ValueError(f"nesterov wants a momentum above 0, got {self.momentum}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if not self.bias_rate > 0:
            raise ValueError(f"bias_rate must be positive, got {self.bias_rate}")


@dataclass(frozen=True)
class AnnRecipe(Recipe):
    """A recipe of an ANN, with what its cross-entropy may have; with epochs = 0 it is not trained.

    label_smoothing: share of the label that is spread evenly over the classes.
    score_scale: factor on the class scores in the loss alone (Jordan 2024).
    """

    FEWEST_EPOCHS: ClassVar[int] = 0

    label_smoothing: float = 0.0
    score_scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.score_scale > 0:
            raise ValueError(f"score_scale must be positive, got {self.score_scale}")


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
    rise = max(1.0, recipe.warm_up * total)
    if recipe.schedule == "triangle":  # straight from a fifth of the peak up to it, and down to 7 %
        if batch < rise:
            return peak * (0.2 + 0.8 * batch / rise)
        return peak * (1 - 0.93 * (batch - rise) / max(1.0, total - rise))
    if batch < rise:  # one-cycle: peak/25 up to peak, down to peak/1000
        return _between(peak / 25, peak, batch / rise)
    return _between(peak, peak / 1000, (batch - rise) / max(1.0, total - rise))


@contextmanager
def learning_at(share: float, progress: float = 1.0) -> Iterator[None]:
    """What runs within sees this share of the peak learning rate, and so much of the training done:
    `fit` shows both to objectives and to validation."""
    tokens = _SHARE.set(share), _PROGRESS.set(progress)
    try:
        yield
    finally:
        _SHARE.reset(tokens[0])
        _PROGRESS.reset(tokens[1])


def training_progress() -> float:
    """Share of the batches of a training that are done, from 0; 1 outside a training."""
    return _PROGRESS.get()


def learning_share() -> float:
    """Share of the peak at which an objective's batch is learned; 1 outside a training."""
    return _SHARE.get()


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))
