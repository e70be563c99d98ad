"""A whole study: what is missing is run, here or in several processes; then the records."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
from rich.console import Console

from compare import cases as expansion
from compare import machine
from compare.cases import Case, way_of
from compare.data import Dataset
from compare.models import make_network
from compare.prepared import View, load_dataset, sample
from compare.progress import Progress
from compare.run import ANN_RECIPE, TRAINING_COST, Workplace, run_case
from compare.store import CaseBusy, Store, replace_text
from compare.study import Frames, Precision, Study, StudyError, parse_study
from compare.toml_text import to_toml
from conversion import CONVERSIONS
from network.architectures import Geometry
from network.graph import trace
from network.wiring import wiring

SWEEP_PRECISION = "int16"  # exact and the same everywhere; float32 where a network needs it
SMALL_NETWORK = 20_000_000  # multiplications per image below which a case gets one thread
SPIKE_NORM_STEPS = 100  # a rough count of the steps that a calibration runs, for the time left
POLL_S = 0.5
WAIT_FOR_OTHERS_S = 5.0


@dataclass(frozen=True)
class Settings:
    """How a study is run: nothing here decides its results."""

    data: Path | None
    download: bool
    device: str
    jobs: int | None
    command: str


@dataclass(frozen=True)
class Plan:
    """A resolved study: its cases, their names, and the work that each is (multiplications)."""

    study: Study
    directory: Path
    cases: tuple[Case, ...]
    names: tuple[str, ...]
    work: tuple[float, ...]

    @property
    def store(self) -> Store:
        return Store(self.directory)

    def ann_of(self, index: int) -> str | None:
        ann = self.cases[index].ann
        return None if ann is None else self.names[self.cases.index(ann)]


def run_study(
    study: Study, directory: Path, settings: Settings, console: Console
) -> tuple[Plan, dict[str, str]]:
    """Run every case that is missing, one after another or several at a time; write records.csv.

    Returns the plan and, by name, why a case could not be run: the others are run all the same.
    """
    datasets = {
        name: _dataset(name, settings.data, settings.download, _cuts(study), study.events.get(name))
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
    plan.store.write_records(study.name, plan.names)
    return plan, failures


def resolve(
    study: Study, directory: Path, datasets: dict[str, Dataset], device: torch.device
) -> Study:
    """Replace 'auto' and open values; a study that goes on keeps what it was resolved to."""
    earlier = _earlier(directory)
    precision, threads = study.precision, study.threads
    if earlier is not None:
        precision = earlier.precision if precision == "auto" else precision
        threads = threads or earlier.threads
    if precision == "auto" or threads is None:
        network, shape = _first_network(study, datasets)
        operations = sum(s.operations for s in wiring(trace(network.eval()), shape).synapses)
        if threads is None:
            threads = 1 if operations < SMALL_NETWORK else os.cpu_count() or 1
        torch.set_num_threads(threads)
        if precision == "auto":
            precision = _probe(study, datasets, network.to(device))
    return study.model_copy(update={"precision": precision, "threads": threads})


def make_plan(study: Study, directory: Path, datasets: dict[str, Dataset]) -> Plan:
    """The cases of a resolved study with their names and their work."""
    methods = sorted({study.base_method(name) for name in study.every("methods")})
    facts = expansion.method_facts(methods)
    sweeps = study.precision if study.precision in ("int16", "int8") else SWEEP_PRECISION
    cases = tuple(expansion.expand(study, facts, sweep_precision=sweeps))
    names = tuple(case.identity(datasets[case.dataset].fingerprint) for case in cases)
    operations: dict[tuple[str, str, float], int] = {}
    for case in cases:
        key = (case.dataset, case.architecture, case.width)
        if key not in operations:
            operations[key] = _operations(case, datasets[case.dataset])
    work = tuple(
        operations[case.dataset, case.architecture, case.width]
        * image_steps(case, datasets[case.dataset])
        for case in cases
    )
    return Plan(study, directory, cases, names, work)


def image_steps(case: Case, dataset: Dataset) -> float:
    """Work of a case in forward passes of one image, as `run_case` reports it."""
    test = float(len(dataset.test) * max(1, case.timesteps))
    if case.arm == "converted":
        count = case.calibration_images or CONVERSIONS.get(case.base).calibration_images
        return test + count * SPIKE_NORM_STEPS
    recipe = ANN_RECIPE if case.arm == "ann" else way_of(case.base).recipe
    epochs = case.training.get("epochs", recipe.epochs)
    steps = case.train_timesteps or 1
    return test + TRAINING_COST * epochs * steps * len(dataset.train)


def _cuts(study: Study) -> tuple[int | None, int | None, int | None]:
    return study.validation_images, study.train_images, study.test_images


@cache
def _dataset(
    name: str,
    data: Path | None,
    download: bool,
    cuts: tuple[int | None, int | None, int | None],
    frames: Frames | None,
) -> Dataset:
    """Loaded once per process."""
    validation, train, test = cuts
    return load_dataset(
        name,
        data,
        download=download,
        validation=validation,
        train_images=train,
        test_images=test,
        frames=frames,
    )


def _earlier(directory: Path) -> Study | None:
    file = directory / "study.toml"
    if not file.exists():
        return None
    try:
        return parse_study(file.read_text("utf-8"), directory.name, where=str(file))
    except (StudyError, UnicodeDecodeError) as error:
        raise StudyError(f"{error}; remove {file} or choose another --out") from error


def _operations(case: Case, dataset: Dataset) -> int:
    """Multiplications of one forward pass of one image."""
    network = _network(
        dataset, case.architecture, case.width, batch_norm=case.batch_norm, dropout=case.dropout
    )
    wires = wiring(trace(network.eval()), dataset.shape)
    return sum(synapse.operations for synapse in wires.synapses)


def _network(
    dataset: Dataset, architecture: str, width: float, *, batch_norm: bool, dropout: float
) -> torch.nn.Module:
    geometry = Geometry(*dataset.shape, len(dataset.classes))
    return make_network(
        architecture, geometry, width=width, batch_norm=batch_norm, dropout=dropout, seed=0
    )


def _first_network(
    study: Study, datasets: dict[str, Dataset]
) -> tuple[torch.nn.Module, tuple[int, int, int]]:
    part = study.divided()[0]
    dataset = datasets[part.datasets[0]]
    network = _network(
        dataset,
        part.architectures[0],
        part.width,
        batch_norm=part.batch_norm,
        dropout=part.dropout,
    )
    return network, dataset.shape


def _probe(study: Study, datasets: dict[str, Dataset], network: torch.nn.Module) -> Precision:
    """The precision in which a training step of the study's first network is fastest."""
    dataset = datasets[study.divided()[0].datasets[0]]
    device = next(network.parameters()).device
    view = View(dataset.train, "pixels", dataset.mean, dataset.std)
    images, _ = sample(view, min(64, study.batch_size), 0)
    if images.ndim == 5:  # events [B, T, 2, H, W]
        images = images[:, 0]
    seconds = machine.probe_precision(network, images.to(device))
    return "bfloat16" if seconds["bfloat16"] < 0.8 * seconds["float32"] else "float32"


def _jobs(study: Study, device: torch.device) -> int:
    """Processes at once: as many as the machine has cores for; one on an accelerator."""
    return 1 if device.type == "cuda" else max(1, (os.cpu_count() or 1) // (study.threads or 1))


Failures = dict[str, str]


def _run_here(
    plan: Plan, missing: Sequence[int], settings: Settings, progress: Progress
) -> Failures:
    """One case after another; cases that another process holds come last."""
    failures: Failures = {}
    waiting = list(missing)
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
        case.dataset: _dataset(case.dataset, settings.data, False, _cuts(plan.study), frames),
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
    """Interrupts are the parent's affair: it ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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
