"""Running a study: what is missing, here or in several processes or machines; then the records."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch
from rich.console import Console

from compare import machine, ranks
from compare.data import Dataset
from compare.earlier import earlier_study, others
from compare.faults import plain
from compare.joint import joined
from compare.plan import Plan, bfloat16_ratio, check, cuts_of, dataset_of, make_plan, resolve
from compare.progress import Progress
from compare.resolved import in_force
from compare.store import CaseBusy, replace_text, write_first
from compare.study import Study, StudyError
from compare.toml_text import to_toml
from compare.workers import Cluster, Here, Processes, Settings, Together, Workers
from compare.workers.cluster import connect
from compare.workers.ticks import following

WAIT_FOR_OTHERS_S = 5.0
SLOW = 1.5  # times slower, from which on it is said

Failures = dict[str, str]  # case name -> why it could not be run


def run_study(
    study: Study, directory: Path, settings: Settings, console: Console
) -> tuple[Plan, Failures]:
    """Run every case that is missing, one after another or several at a time; write records.csv.

    Returns the plan and, by name, why a case could not be run: the others are run all the same.
    A full disk or a directory that cannot be written ends the study: StudyError in one line.
    """
    try:
        return _run_study(study, directory, settings, console)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise StudyError(
            f"{directory}: {error.strerror or plain(error)}{where}; finished cases are kept: "
            "the same command goes on once this is mended"
        ) from error


def _run_study(
    study: Study, directory: Path, settings: Settings, console: Console
) -> tuple[Plan, Failures]:
    earlier = earlier_study(directory)
    check(study)  # before data are downloaded, and read
    with ExitStack() as stack:
        team = None
        if ranks.world_size() > 1:
            _refuse(settings)
            team = stack.enter_context(joined(settings.device))
        if settings.cluster is not None:
            stack.enter_context(connect(settings.cluster))
        datasets = {
            name: dataset_of(
                name, settings.data, settings.download, cuts_of(study), study.events.get(name)
            )
            for name in study.every("datasets")
        }
        device = machine.choose_device(settings.device)
        plan = make_plan(resolve(study, earlier, datasets, device), directory, datasets)
        plan.store.prepare()
        file = directory / "study.toml"
        if earlier is None and not write_first(file, _as_text(plan, datasets)):
            earlier = earlier_study(directory)  # of a command that began beside this one
            plan = make_plan(resolve(study, earlier, datasets, device), directory, datasets)
        _say_what_is_run(plan.study, console)
        _say_what_is_replaced(plan, console)
        replace_text(file, _as_text(plan, datasets))
        missing = [i for i, name in enumerate(plan.names) if not plan.store.finished(name)]
        if study.precision != "auto" or earlier is not None:
            _say_what_is_slow(plan, missing, datasets, device, console)
        total = sum(plan.work[i] for i in missing)
        stack.enter_context(_records(plan))
        file = directory / "progress.json"
        progress = stack.enter_context(Progress(total, len(missing), console, file))
        workers = (
            _workers(plan, missing, settings, device, progress)
            if team is None
            else Together(plan, settings, progress, team)
        )
        if not isinstance(workers, Here):
            stack.enter_context(following(plan, missing, progress))
        failures = work_through(plan, missing, stack.enter_context(workers), progress)
        progress.failures = failures
    return plan, failures


def _as_text(plan: Plan, datasets: dict[str, Dataset]) -> str:
    return to_toml(plan.study) + in_force(plan.cases, datasets)


def _say(console: Console, text: str) -> None:
    """A line that stays, also in a log."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _say_what_is_run(study: Study, console: Console) -> None:
    _say(
        console,
        f"{study.title or study.name}: {', '.join(study.every('methods'))} "
        f"on {', '.join(study.every('datasets'))}, {', '.join(study.every('architectures'))}, "
        f"{len(study.seeds)} seeds, T = 1 … {max(part.timesteps for part in study.divided())}",
    )


@contextmanager
def _records(plan: Plan) -> Iterator[None]:
    """Inside, cases are run; then records.csv is written of those that are finished, also where the
    rest ended in a fault, which stays what is told if the records cannot be written either."""
    try:
        yield
    except BaseException:
        with suppress(Exception):
            plan.store.write_records(plan.study.name, plan.names)
        raise
    plan.store.write_records(plan.study.name, plan.names)


def _say_what_is_replaced(plan: Plan, console: Console) -> None:
    """One line, also for a log, where the directory holds records of another study."""
    replaced = others(plan.directory, plan.names)
    if replaced:
        _say(
            console,
            f"{plan.directory} holds records of another study ({len(replaced)} of its cases): "
            "study.toml, records.csv and report are replaced, the cases stay; "
            "--out with another directory keeps both",
        )


def _say_what_is_slow(
    plan: Plan,
    missing: Sequence[int],
    datasets: dict[str, Dataset],
    device: torch.device,
    console: Console,
) -> None:
    """One line where trainings are asked for in bfloat16, or were begun in it on another machine,
    and this one runs them slower than in float32."""
    if plan.study.precision != "bfloat16" or all(plan.cases[i].arm == "converted" for i in missing):
        return
    ratio = bfloat16_ratio(plan.study, datasets, device)
    if ratio > SLOW:
        _say(
            console,
            f"bfloat16 trains {ratio:.2g} times slower than float32 on this machine, by a short "
            "probe of the first network; --precision float32 trains anew, in cases of its own",
        )


def _refuse(settings: Settings) -> None:
    if settings.cluster is not None or (settings.jobs or 1) > 1:
        raise StudyError(
            "torchrun's processes train one case after another together: "
            "leave out --jobs and --cluster"
        )


def _workers(
    plan: Plan,
    missing: Sequence[int],
    settings: Settings,
    device: torch.device,
    progress: Progress,
) -> Workers:
    """Where the missing cases run: as many processes as the machine has cores for by default; one
    on an accelerator, or for one case."""
    if settings.cluster is not None:
        return Cluster(plan, settings, device)
    cores = (os.cpu_count() or 1) // (plan.study.threads or 1)
    jobs = settings.jobs or (1 if device.type == "cuda" else max(1, cores))
    jobs = min(jobs, max(1, len(missing)))
    return Here(plan, settings, progress) if jobs == 1 else Processes(plan, settings, jobs)


def work_through(
    plan: Plan, missing: Sequence[int], workers: Workers, progress: Progress
) -> Failures:
    """Hand out every case once its ANN is there; one that another command holds is tried again.

    ANNs and what needs none go first; with several at once, among equals the largest.
    """
    waiting = sorted(missing, key=lambda i: plan.ann_of(i) is not None)
    if workers.slots > 1:
        waiting.sort(key=lambda i: (plan.ann_of(i) is not None, -plan.work[i]))
    running: dict[Future[Exception | None], int] = {}
    failures: Failures = {}
    not_before: dict[int, float] = {}
    while waiting or running:
        for index in [i for i in waiting if plan.ann_of(i) in failures]:
            failures[plan.names[index]] = "its ANN failed"
            waiting.remove(index)
        now = time.monotonic()
        ready = [i for i in waiting if _ready(plan, i) and not_before.get(i, now) <= now]
        for index in ready[: workers.slots - len(running)]:
            waiting.remove(index)
            not_before.pop(index, None)
            running[workers.submit(index)] = index
        if not running:
            if waiting:
                time.sleep(WAIT_FOR_OTHERS_S)
            continue
        patience = WAIT_FOR_OTHERS_S if not_before else None
        finished, _ = wait(running, timeout=patience, return_when=FIRST_COMPLETED)
        for future in finished:
            index = running.pop(future)
            error = future.result()
            if isinstance(error, CaseBusy):
                not_before[index] = time.monotonic() + WAIT_FOR_OTHERS_S
                waiting.append(index)
                progress.begin(f"waiting: {error}")
            elif error is not None:
                failures[plan.names[index]] = str(error)
            else:
                progress.finish_case()
    return failures


def _ready(plan: Plan, index: int) -> bool:
    ann = plan.ann_of(index)
    return ann is None or plan.store.path(ann).exists()
