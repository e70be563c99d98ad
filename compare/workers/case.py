"""One case of a plan, wherever it runs: under its lock, on the data that the plan was made for."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from compare import machine
from compare.case_context import Workplace
from compare.fingerprint import fingerprint
from compare.joint import Joint
from compare.plan import Plan, cuts_of, dataset_of, image_steps
from compare.run import run_case
from compare.store import CaseBusy
from compare.study import StudyError

Tell = Callable[[str, float], None]  # what is being done, and the work done so far


@dataclass(frozen=True)
class Settings:
    """How a study is run: nothing here decides its results."""

    data: Path | None
    download: bool
    device: str
    jobs: int | None
    command: str
    cluster: str | None = None


def attempt(
    plan: Plan, index: int, settings: Settings, tell: Tell, joint: Joint | None = None
) -> Exception | None:
    """Run one case; why it could not be run, or None. OSError (a full disk, say) is raised."""
    try:
        run_one(plan, index, settings, tell, joint)
    except ValueError as error:
        return error
    return None


def run_one(
    plan: Plan, index: int, settings: Settings, tell: Tell, joint: Joint | None = None
) -> None:
    """Run one case under its lock, unless it is finished or its ANN is not there yet."""
    case, name, ann = plan.cases[index], plan.names[index], plan.ann_of(index)
    torch.set_num_threads(plan.study.threads or 1)
    if ann is not None and not plan.store.path(ann).exists():
        raise CaseBusy(f"case {name} waits for its ANN, {ann}")
    done = 0.0

    def add(label: str, amount: float) -> None:
        nonlocal done
        done += amount * scale
        tell(label, min(done, plan.work[index]))

    place = workplace(plan, index, settings, add, joint)
    scale = plan.work[index] / image_steps(case, place.datasets[case.dataset])
    with plan.store.lock(name):
        if not plan.store.finished(name):
            add(f"{case.dataset} {case.architecture} {case.method}, seed {case.seed}", 0.0)
            run_case(case, name, ann, place)


def workplace(
    plan: Plan, index: int, settings: Settings, tell: Tell, joint: Joint | None
) -> Workplace:
    """Where a case works; StudyError where the data are not those that the plan was made for."""
    case, frames = plan.cases[index], plan.study.events.get(plan.cases[index].dataset)
    dataset = dataset_of(
        case.dataset, settings.data, settings.download, cuts_of(plan.study), frames
    )
    if case.identity(fingerprint(case, dataset)) != plan.names[index]:
        raise StudyError(
            f"data set {case.dataset} or network {case.architecture} on {socket.gethostname()} is "
            "not the one that the study was planned with: give all machines the same files"
        )
    return Workplace(
        plan.store,
        plan.study.name,
        {case.dataset: dataset},
        machine.choose_device(settings.device),
        plan.study.batch_size,
        settings.command,
        plan.study.probe,
        tell,
        joint,
    )
