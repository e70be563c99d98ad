"""Weights pulled to a running mean of theirs, as short trainings have it (Jordan 2024)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

EVERY = 5  # batches
KEPT = 0.95**EVERY  # share of the mean that stays as it was, at the end of a training


class Lookahead:
    """Slow weights that follow the fast ones, which go on from them (Zhang 2019, Jordan 2024).

    After every EVERY batches, with p the share of the training that is done, slow and fast weights
    become p³·KEPT·slow + (1 − p³·KEPT)·fast: nothing at first, a mean over the last hundred batches
    or so towards the end. After the last batch the slow weights are the network's. Means and
    variances of batch norm are averaged like weights.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.slow = {name: fast.clone() for name, fast in self._fast().items()}

    def follow(self, done: int, total: int) -> None:
        """To be called after every batch: number `done` (from 1) of `total`."""
        if done % EVERY == 0:
            self._pull(KEPT * (done / total) ** 3)
        if done == total:
            self._pull(1.0)

    def resume(self, slow: Mapping[str, Tensor]) -> None:
        """Go on from the slow weights of a checkpoint, wherever it was read to."""
        for name, value in slow.items():
            self.slow[name].copy_(value)

    @torch.no_grad()
    def _pull(self, kept: float) -> None:
        for name, fast in self._fast().items():
            self.slow[name].lerp_(fast, 1.0 - kept)
            fast.copy_(self.slow[name])

    def _fast(self) -> dict[str, Tensor]:
        return {
            name: value
            for name, value in self.network.state_dict().items()
            if value.is_floating_point()
        }
