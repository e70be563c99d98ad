"""Running a study: what is missing, here or in several processes; then the records."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from compare import machine
from compare.faults import plain
from compare.plan import Plan, cuts_of, dataset_of, image_steps, make_plan, resolve
from compare.progress import Progress
from compare.run import run_case
from compare.setting import Workplace
from compare.store import CaseBusy, replace_text
from compare.study import Study, StudyError
from compare.toml_text import to_toml

POLL_S = 0.5
WAIT_FOR_OTHERS_S = 5.0

Failures = dict[str, str]  # case name -> why it could not be run


@dataclass(frozen=True)
class Settings:
    """How a study is run: nothing here decides its results."""

    data: Path | None
    download: bool
    device: str
    jobs: int | None
    command: str


def run_study(
    study: Study, directory: Path, settings: Settings, console: Console
) -> tuple[Plan, dict[str, str]]:
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
) -> tuple[Plan, dict[str, str]]:
    datasets = {
        name: dataset_of(
            name, settings.data, settings.download, cuts_of(study), study.events.get(name)
        )
        for name in study.every("datasets")
    }
    device = machine.choose_device(settings.device)
    study = resolve(study, directory, datasets, device)
    plan = make_plan(study, directory, datasets)
    plan.store.prepare()
    replace_text(directory / "study.toml", to_toml(study))
    missing = [i for i, name in enumerate(plan.names) if not plan.store.finished(name)]
    total = sum(plan.work[i] for i in missing)
    jobs = min(settings.jobs or _jobs(study, device), max(1, len(missing)))
    with Progress(total, len(missing), console, directory / "progress.json") as progress:
        run = _run_here if jobs == 1 else partial(_run_in_processes, jobs=jobs)
        failures = run(plan, missing, settings, progress)
        progress.failures = failures
    plan.store.write_records(study.name, plan.names)
    return plan, failures


def _jobs(study: Study, device: torch.device) -> int:
    """Processes at once: as many as the machine has cores for; one on an accelerator."""
    return 1 if device.type == "cuda" else max(1, (os.cpu_count() or 1) // (study.threads or 1))


def _run_here(
    plan: Plan, missing: Sequence[int], settings: Settings, progress: Progress
) -> Failures:
    """One case after another, ANNs first; cases that another process holds come last."""
    failures: Failures = {}
    waiting = sorted(missing, key=lambda i: plan.ann_of(i) is not None)
    held: CaseBusy | None = None
    while waiting:
        left = []
        for index in waiting:
            if plan.ann_of(index) in failures:
                failures[plan.names[index]] = "its ANN failed"
                continue
            try:
                _run_one(plan, index, settings, progress)
                progress.finish_case()
            except CaseBusy as error:
                held = error
                left.append(index)
            except ValueError as error:
                failures[plan.names[index]] = str(error)
        if left and len(left) == len(waiting):
            progress.begin(f"waiting: {held}")
            time.sleep(WAIT_FOR_OTHERS_S)
        waiting = left
    return failures


def _run_one(
    plan: Plan, index: int, settings: Settings, progress: Progress | None, tick: Path | None = None
) -> None:
    """Run one case under its lock, unless it is finished or its ANN is not there yet."""
    case, name, ann = plan.cases[index], plan.names[index], plan.ann_of(index)
    torch.set_num_threads(plan.study.threads or 1)
    if ann is not None and not plan.store.path(ann).exists():
        raise CaseBusy(f"case {name} waits for its ANN, {ann}")
    frames = plan.study.events.get(case.dataset)
    datasets = {
        case.dataset: dataset_of(case.dataset, settings.data, False, cuts_of(plan.study), frames),
    }
    scale = plan.work[index] / image_steps(case, datasets[case.dataset])
    done = 0.0

    def tell(label: str, amount: float) -> None:
        nonlocal done
        done += amount * scale
        if progress is not None:
            progress.label = label
            progress.advance(amount * scale)
        if tick is not None:
            tick.write_text(f"{done}\n{label}", encoding="utf-8")

    place = Workplace(
        plan.store,
        plan.study.name,
        datasets,
        machine.choose_device(settings.device),
        plan.study.batch_size,
        settings.command,
        tell,
    )
    with plan.store.lock(name):
        if not plan.store.finished(name):
            tell(f"{case.dataset} {case.architecture} {case.method}, seed {case.seed}", 0.0)
            run_case(case, name, ann, place)
    if progress is not None:
        progress.advance(max(0.0, plan.work[index] - done))


def _run_in_processes(
    plan: Plan, missing: Sequence[int], settings: Settings, progress: Progress, *, jobs: int
) -> Failures:
    """`jobs` cases at a time; a case is handed out once its ANN is there."""
    context = multiprocessing.get_context("spawn")
    waiting = sorted(missing, key=lambda i: (plan.ann_of(i) is not None, -plan.work[i]))
    running: dict[Future[None], int] = {}
    failures: Failures = {}
    with (
        _watch(plan, missing, progress),
        ProcessPoolExecutor(jobs, context, initializer=_start_worker) as pool,
    ):
        try:
            while waiting or running:
                for index in [i for i in waiting if plan.ann_of(i) in failures]:
                    failures[plan.names[index]] = "its ANN failed"
                    waiting.remove(index)
                for index in [i for i in waiting if _ready(plan, i)]:
                    running[pool.submit(_run_in_process, plan, index, settings)] = index
                    waiting.remove(index)
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    index = running.pop(future)
                    error = future.exception()
                    if isinstance(error, ValueError):
                        failures[plan.names[index]] = str(error)
                    else:
                        future.result()
                        progress.finish_case()
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            if isinstance(error, BrokenProcessPool):
                raise StudyError(
                    "a process of this study was killed, by the system for want of memory perhaps; "
                    "finished cases are kept: run the same command again, with fewer --jobs"
                ) from error
            raise
    return failures


def _ready(plan: Plan, index: int) -> bool:
    ann = plan.ann_of(index)
    return ann is None or plan.store.path(ann).exists()


def _start_worker() -> None:
    """Interrupts are the parent's affair: it ends the others; where it is killed, they end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """Leave at once when the parent is gone: its locks are then free for whoever goes on."""
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def _run_in_process(plan: Plan, index: int, settings: Settings) -> None:
    tick = plan.directory / "work" / f"{plan.names[index]}.tick"
    while True:
        try:
            _run_one(plan, index, settings, None, tick)
            return
        except CaseBusy:
            time.sleep(WAIT_FOR_OTHERS_S)


@contextmanager
def _watch(plan: Plan, missing: Sequence[int], progress: Progress) -> Iterator[None]:
    """Follow the work of other processes by the small files that they write."""
    stop = threading.Event()
    ticks = {i: plan.directory / "work" / f"{plan.names[i]}.tick" for i in missing}
    for tick in ticks.values():
        tick.unlink(missing_ok=True)

    def look() -> None:
        done, labels = 0.0, []
        for index, tick in ticks.items():
            if plan.store.path(plan.names[index]).exists():
                done += plan.work[index]
            elif tick.exists():
                amount, _, label = tick.read_text("utf-8").partition("\n")
                done += min(float(amount or 0), plan.work[index])
                labels.append(label)
        progress.label = " · ".join(labels)
        progress.set_done(done)

    def follow() -> None:
        while not stop.wait(POLL_S):
            look()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        look()
        for tick in ticks.values():
            tick.unlink(missing_ok=True)
