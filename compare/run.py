"""One case: data → network trained or converted → sweep → a finished case directory."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from compare.cases import Case, representation_of, way_of
from compare.data import Dataset
from compare.data.augmentation import augment
from compare.machine import commit, machine, versions
from compare.models import make_network
from compare.prepared import View, represent, sample
from compare.store import Store, write_csv
from compare.sweep import (
    LAYER_COLUMNS,
    SWEEP_COLUMNS,
    Sweep,
    accuracy_of,
    evaluate_ann,
    sweep,
)
from compare.traces import Arrays, trace_neurons
from conversion import CONVERSIONS, Conversion, convert, quantise_activations
from conversion.convert import prepare_ann
from conversion.errors import error_split
from direct import prepare
from network.architectures import Geometry, depth_of
from network.encodings import image_keys
from network.fit import Augment, Epoch, Outcome, Recipe, derived_seed, fit
from network.graph import trace
from network.unroll import SpikingNetwork, channels_last

ANN_RECIPE = Recipe(epochs=8, batch_size=100, learning_rate=2e-3)
SAMPLE_IMAGES = 500  # for data-based initialisation and width tuning
HISTORY_COLUMNS = (
    "epoch", "learning_rate", "train_loss", "train_accuracy", "validation_accuracy", "elapsed_s",
)  # fmt: skip
ERROR_IMAGES = 32  # for the conversion error by layer
TRAINING_COST = 3.0  # a training step against a forward pass


@dataclass
class Workplace:
    """What the cases of one study share. `tell(label, work)` reports work done."""

    store: Store
    study: str
    datasets: dict[str, Dataset]
    device: torch.device
    batch_size: int
    command: str
    tell: Callable[[str, float], None] = lambda label, work: None


@dataclass
class _Result:
    """What a case leaves behind."""

    sweep: Sweep
    weights: dict[str, Tensor]
    history: list[Epoch]
    readout: str
    depth: int
    parameters: int
    thresholds: dict[str, dict[str, float]] | None = None
    calibration_timesteps: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    traces: Arrays | None = None
    elapsed_s: dict[str, float] = field(default_factory=dict)


def run_case(case: Case, name: str, ann: str | None, place: Workplace) -> None:
    """Run one case and write its directory; `ann` names the finished case that it starts from."""
    started = datetime.now(UTC)
    work = place.store.work(name)
    work.mkdir(parents=True, exist_ok=True)
    arms = {"ann": _run_ann, "converted": _run_converted, "direct": _run_direct}
    result = arms[case.arm](case, _Setting(case, name, ann, place))
    finished = datetime.now(UTC)
    content = _content(case, result, ann, place)
    content["started"] = started.isoformat(timespec="seconds")
    content["finished"] = finished.isoformat(timespec="seconds")
    total = (finished - started).total_seconds()
    content["elapsed_s"] = {**result.elapsed_s, "total": total}
    with place.store.writing(name, content) as folder:
        _write_files(folder, result)


class _Setting:
    """The data of a case in its representation, and its network."""

    def __init__(self, case: Case, name: str, ann: str | None, place: Workplace) -> None:
        self.case, self.place, self.ann, self.name = case, place, ann, name
        self.checkpoint = place.store.work(name) / "checkpoint.pt"
        self.dataset = place.datasets[case.dataset]
        self.representation = representation_of(case)
        self.train = self._view(self.dataset.train)
        self.validation = self._view(self.dataset.validation)
        self.test = self._view(self.dataset.test)
        channels, height, width = self.dataset.shape
        self.geometry = Geometry(channels, height, width, len(self.dataset.classes))

    def _view(self, arrays: Any) -> View:
        return View(arrays, self.representation, self.dataset.mean, self.dataset.std)

    def network(self, case: Case | None = None) -> nn.Module:
        case = case or self.case
        way = way_of(case.base) if case.arm == "direct" else None
        fixed = (None, None) if way is None else (way.batch_norm, way.dropout)
        network = make_network(
            case.architecture,
            self.geometry,
            width=case.width,
            batch_norm=case.batch_norm if fixed[0] is None else fixed[0],
            dropout=case.dropout if fixed[1] is None else fixed[1],
            seed=derived_seed(case.seed, 10),
        )
        if case.base == "qcfs-ann":
            network = quantise_activations(network, **case.options)
        return network

    def trained_ann(self) -> nn.Module:
        """The finished ANN that this case starts from."""
        assert self.ann is not None
        assert self.case.ann is not None
        network = self.network(self.case.ann)
        file = self.place.store.path(self.ann) / "weights.safetensors"
        network.load_state_dict(safetensors.torch.load_file(file))
        return network.eval().to(self.place.device)

    def training(self) -> tuple[View, Augment]:
        """Training images as pixels, and what turns a batch of them into the network's input."""
        if self.representation in ("events", "mean-events"):
            return self.train, lambda images, generator: images
        name = self.case.augmentation or self.dataset.augmentation
        function = augment(name)
        mean, std, kind = self.dataset.mean, self.dataset.std, self.representation

        def transform(images: Tensor, generator: torch.Generator) -> Tensor:
            moved = function(images, generator)
            return represent(moved * 255, kind, mean, std)

        return View(self.dataset.train, "pixels", mean, std), transform

    def tell(self, stage: str) -> Callable[[float], None]:
        words = f"{self.case.dataset} {self.case.architecture} {self.case.method}"
        label = f"{words}, seed {self.case.seed}: {stage}"
        return lambda work: self.place.tell(label, work)

    def fit(
        self,
        network: nn.Module,
        objective: Callable[[Tensor, Tensor, Tensor], Outcome],
        recipe: Recipe,
        classify: Callable[[Tensor, Tensor], Tensor],
        cost: float,
    ) -> list[Epoch]:
        """Train with this case's data, seed, validation split and checkpoint."""
        data, transform = self.training()
        precision = "bfloat16" if self.case.precision == "bfloat16" else "float32"
        recipe = replace(recipe, precision=precision, **self.case.training)  # type: ignore[arg-type]
        tell = self.tell("training")
        per_batch = cost * len(data) / -(-len(data) // recipe.batch_size)
        position = 0

        def report(done: int, total: int, row: Epoch | None) -> None:
            nonlocal position
            del total, row
            tell(per_batch * (done - position))
            position = done

        def validate() -> float:
            return accuracy_of(classify, self.validation, self.place.batch_size)

        return fit(
            network,
            objective,
            data,
            recipe,
            seed=derived_seed(self.case.seed, 11),
            augment=transform,
            validate=validate if len(self.validation) else None,
            checkpoint=self.checkpoint,
            report=report,
        )

    def sweep(self, network: SpikingNetwork) -> Sweep:
        tell, steps = self.tell("sweep"), self.case.timesteps
        return sweep(
            network,
            self.test,
            self.dataset.shape,
            steps,
            seed=derived_seed(self.case.seed, 12),
            batch_size=self.place.batch_size,
            device=self.place.device,
            precision=self.case.sweep_precision,
            advance=lambda images: tell(float(images * steps)),
        )

    def traces(self, network: SpikingNetwork) -> Arrays:
        return trace_neurons(
            network,
            self.test,
            self.case.timesteps,
            run_seed=derived_seed(self.case.seed, 12),
            watch_seed=derived_seed(self.case.seed, 19),
            device=self.place.device,
        )


def _run_ann(case: Case, setting: _Setting) -> _Result:
    device = setting.place.device
    network = setting.network().to(device).to(memory_format=torch.channels_last)

    def objective(images: Tensor, labels: Tensor, keys: Tensor) -> Outcome:
        del keys
        scores = network(channels_last(images))
        return Outcome(F.cross_entropy(scores, labels), scores)

    def classify(images: Tensor, indices: Tensor) -> Tensor:
        del indices
        scores: Tensor = network(channels_last(images.to(device)))
        return scores

    clock = _Clock()
    history = setting.fit(network, objective, ANN_RECIPE, classify, TRAINING_COST)
    clock.lap("train")
    tell = setting.tell("evaluation")
    outcome = evaluate_ann(
        network,
        trace(network.eval()),
        setting.test,
        setting.dataset.shape,
        batch_size=setting.place.batch_size,
        device=device,
        advance=lambda images: tell(float(images)),
    )
    clock.lap("sweep")
    return _Result(
        sweep=outcome,
        weights=network.state_dict(),
        history=history,
        readout="",
        depth=depth_of(network),
        parameters=_count(network),
        elapsed_s=clock.laps,
    )


def _run_converted(case: Case, setting: _Setting) -> _Result:
    clock = _Clock()
    ann = setting.trained_ann()
    conversion = _convert(case, setting, ann, case.base, dict(case.options))
    clock.lap("convert")
    outcome = setting.sweep(conversion.network)
    clock.lap("sweep")
    errors, notes = _errors(case, setting, ann, conversion)
    clock.lap("errors")
    traces = setting.traces(conversion.network)
    clock.lap("traces")
    audit = {k: list(v) for k, v in asdict(conversion.audit).items()}
    return _Result(
        sweep=outcome,
        weights=conversion.network.state_dict(),
        history=[],
        readout=conversion.network.readout,
        depth=depth_of(ann),
        parameters=_count(ann),
        thresholds=_summaries(conversion.thresholds),
        calibration_timesteps=conversion.calibration_timesteps,
        extra={"audit": audit, "notes": notes},
        tables={"errors": errors},
        traces=traces,
        elapsed_s=clock.laps,
    )


def _errors(
    case: Case, setting: _Setting, ann: nn.Module, conversion: Conversion
) -> tuple[list[dict[str, Any]], list[str]]:
    """Conversion error by layer at T = 1, 2, 4 … on some training images; or why there is none."""
    images, _ = sample(setting.train, ERROR_IMAGES, derived_seed(case.seed, 17))
    steps = [2**k for k in range(case.timesteps.bit_length())]
    body, _, _ = prepare_ann(ann)
    try:
        rows = error_split(
            body,
            conversion.network,
            images.to(setting.place.device),
            steps,
            seed=derived_seed(case.seed, 18),
        )
    except ValueError as error:
        return [], [f"no conversion error by layer: {error}"]
    return [asdict(row) for row in rows], []


def _convert(
    case: Case, setting: _Setting, ann: nn.Module, method: str, options: dict[str, Any]
) -> Conversion:
    count = case.calibration_images or CONVERSIONS.get(method).calibration_images
    seed = derived_seed(case.seed, 13)
    images, _ = sample(setting.train, count, seed)
    return convert(
        ann,
        images,
        method=method,
        options=options,
        encoding=case.encoding,
        seed=seed,
        batch_size=setting.place.batch_size,
    )


def _run_direct(case: Case, setting: _Setting) -> _Result:
    assert case.train_timesteps is not None
    device, steps = setting.place.device, case.train_timesteps
    clock = _Clock()
    way = way_of(case.base)
    options = {**way.options, **case.options}
    start, model = None, None
    if way.rule.needs_conversion:
        method = str(options.pop("conversion", "robust-norm"))
        start = _convert(case, setting, setting.trained_ann(), method, {}).network
        clock.lap("convert")
    else:
        model = setting.network()
    images, labels = sample(setting.train, SAMPLE_IMAGES, derived_seed(case.seed, 14))
    trainable = prepare(
        model,
        rule=way.rule.name,
        timesteps=steps,
        options=options,
        images=images,
        labels=labels,
        seed=derived_seed(case.seed, 15),
        recipe=way.recipe,
        encoding=case.encoding,
        readout=way.readout,
        start=start,
    )
    network = trainable.network.to(device)
    seed = derived_seed(case.seed, 16)

    def classify(batch: Tensor, indices: Tensor) -> Tensor:
        keys = image_keys(seed, indices).to(device)
        scores: Tensor = network(batch.to(device), steps, keys)[-1]
        return scores

    history = setting.fit(
        network, trainable.objective, trainable.recipe, classify, TRAINING_COST * steps
    )
    finished = trainable.finish()
    clock.lap("train")
    outcome = setting.sweep(finished)
    clock.lap("sweep")
    traces = setting.traces(finished)
    clock.lap("traces")
    theta = {name: neuron.theta.detach() for name, neuron in finished.neurons().items()}
    return _Result(
        sweep=outcome,
        weights=finished.state_dict(),
        history=history,
        readout=finished.readout,
        depth=depth_of(finished.body),
        parameters=_count(finished),
        thresholds=_summaries(theta),
        tables=trainable.records,
        traces=traces,
        elapsed_s=clock.laps,
    )


class _Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.last = time.monotonic()

    def lap(self, stage: str) -> None:
        now = time.monotonic()
        self.laps[stage], self.last = round(now - self.last, 3), now


def _count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _summaries(thresholds: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    return {
        name: {"min": float(t.min()), "mean": float(t.mean()), "max": float(t.max())}
        for name, t in thresholds.items()
    }


def _content(case: Case, result: _Result, ann: str | None, place: Workplace) -> dict[str, Any]:
    dataset = place.datasets[case.dataset]
    specification = case.specification()
    specification["ann"] = None
    return {
        "study": place.study,
        "spec": {**specification, "depth": result.depth, "readout": result.readout},
        "dataset": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "official": dataset.official,
            "note": dataset.note,
            "train_images": len(dataset.train),
            "validation_images": len(dataset.validation),
            "test_images": len(dataset.test),
            "classes": len(dataset.classes),
            "shape": list(dataset.shape),
        },
        "parameters": result.parameters,
        "thresholds": result.thresholds,
        "calibration_timesteps": result.calibration_timesteps,
        "selection": {"epoch": len(result.history), "rule": "last epoch"}
        if result.history
        else None,
        "ann_case": ann,
        "versions": versions(),
        "commit": commit(),
        "machine": {
            **machine(place.device),
            "python": platform.python_version(),
            "precision": case.precision,
            "sweep_arithmetic": result.sweep.arithmetic,
        },
        "command": place.command,
        **result.extra,
    }


def _write_files(folder: Path, result: _Result) -> None:
    weights = {k: v.detach().cpu().contiguous().clone() for k, v in result.weights.items()}
    safetensors.torch.save_file(weights, folder / "weights.safetensors")
    write_csv(folder / "history.csv", HISTORY_COLUMNS, [asdict(row) for row in result.history])
    write_csv(folder / "sweep.csv", SWEEP_COLUMNS, result.sweep.rows)
    write_csv(folder / "layers.csv", LAYER_COLUMNS, result.sweep.layers)
    np.savez_compressed(
        folder / "correct.npz",
        timesteps=result.sweep.timesteps,
        correct=result.sweep.correct,
        predicted=result.sweep.predicted,
        labels=result.sweep.labels,
    )
    if result.traces is not None:
        np.savez_compressed(folder / "traces.npz", **result.traces)  # type: ignore[arg-type]
    for name, rows in result.tables.items():
        if rows:
            write_csv(folder / f"{name}.csv", tuple(rows[0]), rows)
