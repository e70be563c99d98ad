"""A training that was done before, by a finished case that differs in nothing but its sweep."""

from __future__ import annotations

import csv
import glob
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from compare.cases import Case
from compare.store import CASE_FILE, DamagedCase, Store
from network.fit import Epoch

OF_THE_SWEEP = ("timesteps", "sweep_precision")  # what of a specification no training depends on
WRITTEN_ANEW = ("history.csv", "sweep.csv", "layers.csv")
STAGES = ("train", "convert")


@dataclass(frozen=True)
class FinishedTraining:
    """What a finished case keeps of its training; elapsed_s: the seconds of its stages."""

    case: str
    weights: dict[str, Tensor]
    history: list[Epoch]
    tables: dict[str, list[dict[str, str]]]
    elapsed_s: dict[str, float]

    def said(self) -> str:
        """For the case that takes it."""
        return f"training and its times are those of {self.case}"


def trained_before(case: Case, store: Store, fingerprint: str) -> FinishedTraining | None:
    """The training of a directly trained case, where the study has done it for another sweep.

    fingerprint: of the data and the network. A case that is damaged or was made in another way
    does not count.
    """
    own = case.identity(fingerprint)
    for name, spec in _alike(store, own):
        try:
            swept_otherwise = replace(case, **{key: spec[key] for key in OF_THE_SWEEP})
            if name != own and swept_otherwise.identity(fingerprint) == name:
                return _read(store, name)
        except (OSError, KeyError, DamagedCase):
            continue
    return None


def _alike(store: Store, own: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and specifications of the cases whose names differ in their hash alone."""
    for folder in sorted(store.cases.glob(f"{glob.escape(own.rpartition('-')[0])}-*")):
        try:
            yield folder.name, dict(json.loads((folder / CASE_FILE).read_text("utf-8"))["spec"])
        except (OSError, ValueError, KeyError, TypeError):
            continue


def _read(store: Store, name: str) -> FinishedTraining:
    content, folder = store.read(name), store.path(name)
    elapsed = content["elapsed_s"]
    return FinishedTraining(
        case=name,
        weights=safetensors.torch.load_file(folder / "weights.safetensors"),
        history=[_epoch(row) for row in _rows(folder / "history.csv")],
        tables={
            path.stem: _rows(path)
            for path in sorted(folder.glob("*.csv"))
            if path.name not in WRITTEN_ANEW
        },
        elapsed_s={stage: elapsed[stage] for stage in STAGES if stage in elapsed},
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _epoch(row: dict[str, str]) -> Epoch:
    values: dict[str, Any] = {key: float(text) if text else None for key, text in row.items()}
    return Epoch(**{**values, "epoch": int(row["epoch"])})
