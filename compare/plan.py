"""A resolved study: its cases in order, their names, and the work that each is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from compare import machine, ranks
from compare.case_context import TRAINING_COST
from compare.cases import Case, expand
from compare.data import Dataset
from compare.faults import memory_for
from compare.fingerprint import fingerprint
from compare.method_facts import method_facts
from compare.models import load_function, make_network
from compare.options import check_options, check_unused
from compare.prepared import View, load_dataset, sample
from compare.resolved import calibration_images, recipe_of
from compare.store import Store
from compare.study import Precision, Study
from compare.study_tables import Frames
from compare.sweep import BITS
from compare.without_effect import check_settings
from direct import PRESETS
from network.graph import UnsupportedNetwork, trace
from network.wiring import wiring

SWEEP_PRECISION: Precision = (
    "int24"  # exact and the same everywhere; float32 where a network needs it
)
SMALL_NETWORK = 20_000_000  # multiplications per image below which a case gets one thread
PROBED_IMAGES = 64  # at most, of the step by which a precision is chosen
WORTHWHILE = 0.8  # of float32's time, up to which bfloat16 is taken
CALIBRATION_STEPS = 100  # a rough count of the steps that a calibration runs, for the time left


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
        """The name of the ANN that a case starts from."""
        return self.anns[index]

    @cached_property
    def anns(self) -> tuple[str | None, ...]:
        names = {c.as_text(): name for c, name in zip(self.cases, self.names, strict=True)}
        return tuple(None if c.ann is None else names[c.ann.as_text()] for c in self.cases)


def resolve(
    study: Study, earlier: Study | None, datasets: dict[str, Dataset], device: torch.device
) -> Study:
    """Replace 'auto' and open values; a study that goes on keeps what it was resolved to.

    earlier: as an earlier run in its directory resolved it, if there was one.
    """
    sweeps = study.sweep_precision
    if sweeps == "auto":  # a precision that is asked for holds for the sweep too
        sweeps = SWEEP_PRECISION if study.precision == "auto" else study.precision
    precision: Precision = "auto" if study.precision in BITS else study.precision
    threads, probe = study.threads, ""
    if earlier is not None:
        if precision in ("auto", earlier.precision):
            precision, probe = earlier.precision, earlier.probe
        threads = threads or earlier.threads
    if precision == "auto" or threads is None:
        with memory_for("the first network of the study"):
            network, shape = _first_network(study, datasets)
            operations = multiplications(network, shape)
            if threads is None:
                cores = max(1, (os.cpu_count() or 1) // ranks.processes_here())
                threads = 1 if operations < SMALL_NETWORK else cores
            torch.set_num_threads(threads)
            if precision == "auto":
                seconds = _probe(study, datasets, network.to(device))
                faster = seconds["bfloat16"] < WORTHWHILE * seconds["float32"]
                precision, probe = "bfloat16" if faster else "float32", _in_words(seconds)
    resolved = {
        "precision": precision,
        "sweep_precision": sweeps,
        "threads": threads,
        "probe": probe,
    }
    return study.model_copy(update={**resolved, "differences": _differences(study)})


def _differences(study: Study) -> tuple[str, ...]:
    """What the set-up has otherwise than the papers: the study's own, then those of its presets."""
    used = {study.base_method(method) for method in study.every("methods")}
    of_presets = [
        f"preset {name}, where the study sets nothing else: {PRESETS.get(name).chosen_here}"
        for name in PRESETS.names()
        if name in used
    ]
    return tuple(dict.fromkeys([*study.differences, *of_presets]))


def check(study: Study) -> None:
    """Raise in one line for what shows to be wrong with a study before any data is there: an
    option, a setting without effect, a network of the user's that cannot be loaded."""
    cases = cases_of(study)
    check_options(cases)
    check_unused(study)
    check_settings(study, cases)
    for architecture in study.every("architectures"):
        if ":" in architecture:
            load_function(architecture)


def cases_of(study: Study) -> tuple[Case, ...]:
    """The cases of a study, its ANNs first."""
    methods = sorted({study.base_method(name) for name in study.every("methods")})
    return tuple(expand(study, method_facts(methods), sweep_precision=study.sweep_precision))


def make_plan(study: Study, directory: Path, datasets: dict[str, Dataset]) -> Plan:
    """The cases of a resolved study that was checked, with their names and their work."""
    cases = cases_of(study)
    names = tuple(case.identity(fingerprint(case, datasets[case.dataset])) for case in cases)
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
    recipe = recipe_of(case)
    if recipe is None:
        return test + calibration_images(case, case.base) * CALIBRATION_STEPS
    epoch = TRAINING_COST * len(dataset.train) + len(dataset.validation)
    return test + recipe.epochs * (case.train_timesteps or 1) * epoch


def cuts_of(study: Study) -> tuple[int | None, int | None, int | None]:
    return study.validation_images, study.train_images, study.test_images


@cache
def dataset_of(
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


def _operations(case: Case, dataset: Dataset) -> int:
    with memory_for(f"architecture {case.architecture} on {case.dataset}"):
        network = _network(
            dataset, case.architecture, case.width, batch_norm=case.batch_norm, dropout=case.dropout
        )
        return multiplications(network, dataset.shape)


def multiplications(network: torch.nn.Module, shape: tuple[int, ...]) -> int:
    """Of one forward pass of one image of `shape` [C, H, W].

    torch's own number, with those of padding, where a network cannot be counted: only the cases
    that train it fail, and say why.
    """
    try:
        return sum(s.operations for s in wiring(trace(network.eval()), shape).synapses)
    except UnsupportedNetwork:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, *shape))
        return int(counter.get_total_flops()) // 2


def _network(
    dataset: Dataset, architecture: str, width: float, *, batch_norm: bool, dropout: float
) -> torch.nn.Module:
    return make_network(
        architecture, dataset.geometry, width=width, batch_norm=batch_norm, dropout=dropout, seed=0
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


def bfloat16_ratio(study: Study, datasets: dict[str, Dataset], device: torch.device) -> float:
    """Time of a training step in bfloat16 over float32's, of a resolved study's first network."""
    torch.set_num_threads(study.threads or torch.get_num_threads())
    network, _ = _first_network(study, datasets)
    seconds = _probe(study, datasets, network.to(device))
    return seconds["bfloat16"] / seconds["float32"]


def _in_words(seconds: dict[str, float]) -> str:
    """What a probe found, for study.toml, logs and case.json."""
    times = (f"{1e3 * taken:.3g} ms in {precision}" for precision, taken in seconds.items())
    return f"a training step of the first network took {', '.join(times)}"


def _probe(
    study: Study, datasets: dict[str, Dataset], network: torch.nn.Module
) -> dict[str, float]:
    """Seconds of a training step in each precision.

    Of two images at least, of one twice where there is no other: batch norm has no variance over
    one.
    """
    dataset = datasets[study.divided()[0].datasets[0]]
    device = next(network.parameters()).device
    view = View(dataset.train, "pixels", dataset.mean, dataset.std)
    images, _ = sample(view, PROBED_IMAGES, 0)
    if images.ndim == 5:  # events [B, T, 2, H, W]
        images = images[:, 0]
    if len(images) == 1:
        images = torch.cat([images, images])
    return machine.probe_precision(network, images.to(device))
