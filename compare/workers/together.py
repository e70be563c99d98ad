"""A study that torchrun runs in several processes as one.

The first process runs the study as it would alone; when a case trains, the others train with it,
each on its share of every batch. Then they wait: conversions, sweeps and files are the first one's.
"""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch

from compare.case_context import CaseContext
from compare.case_log import CaseLog
from compare.faults import plain
from compare.joint import ALIKE, Followed, Joint, NotTogether, joined
from compare.plan import Plan
from compare.progress import Progress
from compare.run import result_of
from compare.study import StudyError
from compare.workers.case import Settings, workplace
from compare.workers.here import Here
from network.team import Team


class Together(Here):
    """The first process: tells the others what is trained."""

    def __init__(self, plan: Plan, settings: Settings, progress: Progress, team: Team) -> None:
        super().__init__(plan, settings, progress)
        self.team = team

    def submit(self, index: int) -> Future[Exception | None]:
        if self.plan.cases[index].arm == "converted":
            return super().submit(index)
        self.team.from_first(index)
        self.joint = Joint(self.team)
        future = super().submit(index)
        error = future.result()
        if not self.joint.agreed:  # it did not come to training: the others need not wait
            with suppress(NotTogether):
                self.joint.agree(plain(error) if error is not None else "there is nothing to train")
        if self.joint.open:
            reason = plain(error) if error is not None else "it was left"
            raise StudyError(
                f"a training by {self.team.size} processes cannot go on: {reason}; finished cases "
                "and the last checkpoint are kept: run the same command again"
            )
        self.joint = None
        return future

    def __enter__(self) -> Together:
        self.team.from_first((self.plan, replace(self.settings, download=False)))
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.team.from_first(None)


def follow(device: str) -> None:
    """Every other process: train what the first one trains, until it says that all is done.

    Where the first one is gone, it is done, or has said why, or torchrun does: this one ends well
    in every case, since torchrun ends them all once one has failed, the first in its report too.
    """
    with joined(device) as team:
        begun = _next(team)
        if begun is None:
            return
        plan, settings = begun
        while (index := _next(team)) is not None:
            _train(plan, index, settings, Joint(team))


def _next(team: Team) -> Any:
    """What the first process says; None where it is done, or its end of the line is closed."""
    try:
        return team.from_first(None)
    except RuntimeError:
        return None


def _train(plan: Plan, index: int, settings: Settings, joint: Joint) -> None:
    case, name, ann = plan.cases[index], plan.names[index], plan.ann_of(index)
    torch.set_num_threads(plan.study.threads or 1)
    try:
        place = workplace(plan, index, settings, lambda label, work: None, joint)
        context = CaseContext(case, name, ann, place)
        context.log = CaseLog(None)
        result_of(case, context)
    except Followed:
        return
    except Exception as error:
        if not joint.agreed:
            with suppress(NotTogether):
                joint.agree(plain(error))
        elif joint.open or not isinstance(error, (NotTogether, *ALIKE)):
            raise
