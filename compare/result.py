"""What one case leaves behind, and the files that hold it."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from torch import Tensor

from compare.case_context import Workplace
from compare.cases import Case
from compare.machine import commit, machine, versions
from compare.resolved import options_of, recipe_of
from compare.store import write_csv
from compare.sweep import Sweep
from compare.sweep_tables import LAYER_COLUMNS, SWEEP_COLUMNS
from compare.traces import Traces
from network.fit import Epoch

HISTORY_COLUMNS = (
    "epoch", "learning_rate", "train_loss", "train_accuracy", "validation_accuracy", "elapsed_s",
)  # fmt: skip


@dataclass
class Result:
    """What a case leaves behind. leak: whether some neurons do; None for an ANN."""

    sweep: Sweep
    weights: dict[str, Tensor]
    history: list[Epoch]
    readout: str
    depth: int
    parameters: int
    thresholds: dict[str, dict[str, float]] | None = None
    leak: bool | None = None
    calibration_timesteps: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    traces: Traces | None = None
    elapsed_s: dict[str, float] = field(default_factory=dict)


def describe(case: Case, result: Result, ann: str | None, place: Workplace) -> dict[str, Any]:
    dataset = place.datasets[case.dataset]
    specification = case.specification()
    specification["ann"] = None
    recipe = recipe_of(case)
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
            "mean": list(dataset.mean),
            "std": list(dataset.std),
        },
        "recipe": None if recipe is None else asdict(recipe),
        "options": options_of(case),
        "parameters": result.parameters,
        "thresholds": result.thresholds,
        "leak": result.leak,
        "calibration_timesteps": result.calibration_timesteps,
        "selection": {"epoch": len(result.history), "rule": "last epoch"}
        if result.history
        else None,
        "ann_case": ann,
        "versions": versions(),
        "commit": commit(),
        "machine": {
            **machine(place.device),
            "processes": 1 if place.joint is None else place.joint.team.size,
            "python": platform.python_version(),
            "precision": case.precision,
            "precision_probe": place.probe or None,
            "sweep_arithmetic": result.sweep.arithmetic,
            "sweep_batch_size": result.sweep.halved or place.batch_size,
        },
        "command": place.command,
        **result.extra,
    }


def write_files(folder: Path, result: Result) -> None:
    weights = {k: v.detach().cpu().contiguous().clone() for k, v in result.weights.items()}
    (folder / "weights.safetensors").write_bytes(safetensors.torch.save(weights))
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
        # names of traces stand where mypy sees the function's own arguments
        np.savez_compressed(folder / "traces.npz", **result.traces)  # type: ignore[arg-type]
    for name, rows in result.tables.items():
        if rows:
            write_csv(folder / f"{name}.csv", tuple(rows[0]), rows)
