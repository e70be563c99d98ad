"""Trainings that several processes of torchrun share: when one begins, and that all are ready."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from compare import ranks
from network.fit import TrainingDiverged
from network.team import CannotShare, Team

# Processes wait while the first one converts and sweeps. One that dies is noticed at once by its
# closed connection, and by torchrun.
PATIENCE = timedelta(days=365)
ALIKE = (TrainingDiverged, CannotShare)  # what ends a training in all processes


class NotTogether(ValueError):
    """A process of the team cannot train this case."""


class Followed(Exception):
    """Raised in every process but the first when a training ends: the rest is the first one's."""


@contextmanager
def joined(device: str) -> Iterator[Team]:
    """The team of all processes that torchrun has started."""
    if device != "cpu" and torch.cuda.is_available():
        torch.cuda.set_device(ranks.place_here())
        backend = "cpu:gloo,cuda:nccl"
    else:
        backend = "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield Team(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


class Joint:
    """One training after another, by all processes of a team.

    agreed: whether all have said that they are ready for this case, or why not.
    open: whether they are training now: what happens to one alone then cannot be mended.
    """

    def __init__(self, team: Team) -> None:
        self.team = team
        self.agreed = self.open = False

    def agree(self, problem: str | None = None) -> None:
        """Tell the others that this process is ready, or its problem; NotTogether where any has."""
        problems = self.team.gathered(problem)
        self.agreed = True
        told = [f"process {rank}: {text}" for rank, text in enumerate(problems) if text]
        if told:
            raise NotTogether("; ".join(told))

    @contextmanager
    def training(self) -> Iterator[Team]:
        """All processes are in this block, or none."""
        self.agree()
        self.open = True
        try:
            yield self.team
        except ALIKE:
            self.open = False
            raise
        self.open = False
        if self.team.rank > 0:
            raise Followed
