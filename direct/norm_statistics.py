"""Statistics of batch norm over a run that works through its steps in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from network.graph import NORMS, Kind, layers
from network.over_batch import mean_over_batch, numbers_over_batch, variance_over_batch

Norm = torch.nn.BatchNorm1d | torch.nn.BatchNorm2d | torch.nn.BatchNorm3d


@dataclass(frozen=True)
class Statistics:
    """Of the input of one norm over some steps, by channel: mean, within and between are [C].

    numbers: that every mean is of. within: mean over the steps of the variance of their chunk.
    between: variance of the chunks' means.
    """

    steps: int
    numbers: int
    mean: Tensor
    within: Tensor
    between: Tensor

    @property
    def variance(self) -> Tensor:
        """Over all steps, [C], division by n: the law of total variance."""
        return self.within + self.between

    def joined(self, other: Statistics) -> Statistics:
        """Those of the steps of both."""
        steps = self.steps + other.steps
        share = other.steps / steps
        apart = other.mean - self.mean
        return Statistics(
            steps,
            self.numbers + other.numbers,
            self.mean + share * apart,
            self.within.lerp(other.within, share),
            self.between.lerp(other.between, share) + share * (1.0 - share) * apart.square(),
        )


def statistics_of(x: Tensor, steps: int) -> Statistics:
    """Statistics of one chunk, x [steps·B, C, ...], in float32 at least."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    axes = (0, *range(2, x.ndim))
    mean, variance = mean_over_batch(x, axes), variance_over_batch(x, axes)
    return Statistics(
        steps, numbers_over_batch(x, axes), mean, variance, torch.zeros_like(variance)
    )


def norms_of(body: fx.GraphModule) -> dict[str, Norm]:
    """Batch norms by the name of their node, in order of execution."""
    found = layers(body, Kind.NORM)
    return {node.name: module for node, module in found if isinstance(module, NORMS)}


@contextmanager
def running_statistics_held(body: fx.GraphModule) -> Iterator[None]:
    """Inside, norms that train leave their running statistics alone."""
    moving = {n for n in norms_of(body).values() if n.training and n.track_running_stats}
    for norm in moving:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in moving:
            norm.track_running_stats = True


@torch.no_grad()
def move_running_statistics(norm: Norm, found: Statistics) -> None:
    """Move them as torch does for one batch that holds all steps: variance by n/(n − 1)."""
    if not norm.track_running_stats or norm.running_mean is None or norm.running_var is None:
        return
    rate = norm.momentum
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if rate is None:
            rate = 1.0 / float(norm.num_batches_tracked)
    unbiased = found.variance * (found.numbers / (found.numbers - 1))
    norm.running_mean.lerp_(found.mean.to(norm.running_mean.dtype), rate or 0.0)
    norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), rate or 0.0)
