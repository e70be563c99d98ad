"""A study directory as frozen values: records at once, everything else when first asked for."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reports.reading import StudyError, reading

CASE_FORMAT = 1
OBJECTS = ("spec", "dataset", "machine", "versions", "elapsed_s", "thresholds")  # of case.json

COLUMNS: dict[str, str] = {
    "study": "str",
    "dataset": "str",
    "architecture": "str",
    "depth": "Int64",
    "arm": "str",
    "method": "str",
    "encoding": "str",
    "seed": "Int64",
    "train_timesteps": "Int64",
    "timestep": "int64",
    "images": "int64",
    "correct": "int64",
    "accuracy": "float64",
    "spikes_per_image": "float64",
    "input_spikes_per_image": "float64",
    "ac_per_image": "float64",
    "mac_per_image": "float64",
    "neuron_updates_per_image": "float64",
    "energy_pj_per_image": "float64",
    "calibration_timesteps": "Int64",
    "case": "str",
}
"""Columns of records.csv in order, with the type each is read as; Int64 may be missing."""

ARMS = ("ann", "converted", "direct")


@dataclass(frozen=True)
class Correctness:
    """Which test images a case answered right.

    timesteps: [n]; correct: [n, images] bool; predicted: [n, images]; labels: [images].
    """

    timesteps: np.ndarray
    correct: np.ndarray
    predicted: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Case:
    """One finished case: its directory and what case.json says of it."""

    name: str
    directory: Path
    facts: Mapping[str, Any] = field(repr=False)

    @property
    def specification(self) -> Mapping[str, Any]:
        """What was run: data set, architecture, method, seed, options."""
        return dict(self.facts.get("spec", {}))

    def table(self, file: str) -> pd.DataFrame | None:
        """A CSV file of the case, or None where the case has none."""
        path = self.directory / file
        if not path.is_file():
            return None
        with reading(path):
            return pd.read_csv(path)

    def arrays(self, file: str) -> dict[str, np.ndarray] | None:
        """The arrays of an npz file of the case, or None where the case has none."""
        path = self.directory / file
        if not path.is_file():
            return None
        with reading(path), path.open("rb") as stream, np.load(stream) as archive:
            return {name: archive[name] for name in archive.files}

    @cached_property
    def correctness(self) -> Correctness | None:
        """Per-image results, or None where the case kept none."""
        arrays = self.arrays("correct.npz")
        if arrays is None:
            return None
        missing = {"timesteps", "correct", "predicted", "labels"} - arrays.keys()
        if missing:
            raise StudyError(f"{self.name}/correct.npz lacks {', '.join(sorted(missing))}")
        return Correctness(
            arrays["timesteps"], arrays["correct"], arrays["predicted"], arrays["labels"]
        )


@dataclass(frozen=True)
class Study:
    """A study directory. `records` has exactly COLUMNS; the other tables are read lazily."""

    directory: Path
    name: str
    title: str
    description: str
    source: str
    settings: Mapping[str, Any] = field(repr=False)
    records: pd.DataFrame = field(repr=False)
    cases: Mapping[str, Case] = field(repr=False)

    @cached_property
    def layers(self) -> pd.DataFrame | None:
        """All layers.csv with the columns of the case in front; None where there is none."""
        return self.stacked("layers.csv")

    @cached_property
    def history(self) -> pd.DataFrame | None:
        """All history.csv with the columns of the case in front; None where there is none."""
        return self.stacked("history.csv")

    @cached_property
    def sweeps(self) -> pd.DataFrame | None:
        """All sweep.csv with the columns of the case in front; None where there is none."""
        return self.stacked("sweep.csv")

    def stacked(self, file: str) -> pd.DataFrame | None:
        """One CSV file of every case under each other, with a column `case` in front."""
        parts = []
        for name, case in self.cases.items():
            table = case.table(file)
            if table is not None and len(table):
                table.insert(0, "case", name)
                parts.append(table)
        return pd.concat(parts, ignore_index=True) if parts else None

    @property
    def papers(self) -> tuple[Mapping[str, Any], ...]:
        """Published numbers that the study file asks to be shown beside ours."""
        return tuple(self.settings.get("paper", ()))

    @property
    def differences(self) -> tuple[str, ...]:
        """What the set-up has otherwise than the source, a phrase each."""
        return tuple(str(phrase) for phrase in self.settings.get("differences", ()))


def load(directory: str | Path) -> Study:
    """Read a study directory.

    Raises StudyError where the directory, its records or a column is missing, or where a value
    cannot be what its column says.
    """
    directory = Path(directory)
    path = directory / "records.csv"
    if not directory.is_dir():
        raise StudyError(f"no such study directory: {directory}")
    if not path.is_file():
        if (directory / "study.toml").is_file():
            raise StudyError(
                f"{directory} has no records yet: its own `isospike compare` writes them at its end"
            )
        raise StudyError(f"{directory} is not a study: it has no records.csv")
    records = read_records(path)
    settings = _settings(directory / "study.toml")
    name = str(settings.get("name") or records["study"].iloc[0])
    return Study(
        directory=directory,
        name=name,
        title=str(settings.get("title") or name),
        description=str(settings.get("description") or ""),
        source=str(settings.get("source") or ""),
        settings=settings,
        records=records,
        cases={case.name: case for case in _cases(directory / "cases", set(records["case"]))},
    )


def combine(studies: Sequence[Study], title: str) -> Study:
    """Several studies as one; a case that is in more than one of them counts once."""
    records = pd.concat([study.records for study in studies], ignore_index=True)
    return Study(
        directory=studies[0].directory,
        name=" and ".join(study.name for study in studies),
        title=title,
        description="; ".join(study.title for study in studies),
        source="",
        settings={},
        records=records.drop_duplicates(["case", "timestep"], ignore_index=True),
        cases={name: case for study in studies for name, case in study.cases.items()},
    )


def read_records(path: Path) -> pd.DataFrame:
    """records.csv with the columns of the contract, checked."""
    with reading(path):
        try:
            raw = pd.read_csv(path, dtype=str, keep_default_na=False)
        except pd.errors.EmptyDataError:
            raise StudyError(f"{path} is empty") from None
    missing = [column for column in COLUMNS if column not in raw.columns]
    if missing:
        raise StudyError(f"{path} lacks the columns {', '.join(missing)}")
    if not len(raw):
        raise StudyError(f"{path} has no rows: no case of the study has finished")
    records = pd.DataFrame({c: _typed(raw[c], kind, path) for c, kind in COLUMNS.items()})
    _check(records, path)
    return records


def _typed(column: pd.Series, kind: str, path: Path) -> pd.Series:
    if kind == "str":
        return column
    try:
        numbers = pd.to_numeric(column.where(column != "", other=None))
        return numbers.astype(kind)
    except (ValueError, TypeError):
        needed = "whole numbers" if kind.lower() == "int64" else "numbers"
        raise StudyError(f"{path}: column {column.name} must hold {needed}") from None


def _check(records: pd.DataFrame, path: Path) -> None:
    unknown = sorted(set(records["arm"]) - set(ARMS))
    if unknown:
        raise StudyError(f"{path}: arm must be one of {', '.join(ARMS)}; got {unknown[0]!r}")
    if not records["accuracy"].between(0, 1).all():
        raise StudyError(f"{path}: accuracy must lie in 0 to 1 in every row")
    twice = records.duplicated(["case", "timestep"])
    if twice.any():
        row = records[twice].iloc[0]
        raise StudyError(f"{path}: case {row['case']} has timestep {row['timestep']} twice")


def _settings(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    with reading(path):
        text = path.read_text(encoding="utf-8-sig")
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise StudyError(f"{path} is not TOML: {error}") from None


def _cases(directory: Path, wanted: set[str]) -> Iterator[Case]:
    for path in sorted(directory.glob("*/case.json")):
        name = path.parent.name
        if name not in wanted:
            continue
        with reading(path):
            text = path.read_text(encoding="utf-8")
            try:
                facts = json.loads(text)
            except json.JSONDecodeError as error:
                raise StudyError(f"{path} is not JSON: {error}") from None
        if not isinstance(facts, dict):
            raise StudyError(f"{path}: must hold an object; got {type(facts).__name__}")
        wrong = [key for key in OBJECTS if not isinstance(facts.get(key, {}), dict | None)]
        if wrong:
            raise StudyError(f"{path}: {wrong[0]} must be an object; got {facts[wrong[0]]!r:.80}")
        if facts.get("format") != CASE_FORMAT:
            got = facts.get("format")
            raise StudyError(f"{path}: format must be {CASE_FORMAT}; got {got!r}")
        yield Case(name, path.parent, facts)
