"""What an earlier run left in the directory of a study."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Collection
from pathlib import Path

import tomlkit

from compare.study import Study, StudyError, parse_study

MARK = "# In force, defaults included:"  # ends every study.toml that is written now


def earlier_study(directory: Path) -> Study | None:
    """The resolved study of an earlier run, or None where there was none.

    Raises StudyError for a study.toml or records.csv that no run has written, which ours would
    replace, and for a study.toml that is no longer read.
    """
    _check_records(directory / "records.csv")
    file = directory / "study.toml"
    if not file.exists():
        return None
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError:
        text = ""
    if not is_resolved(text):
        raise StudyError(
            f"{file} is not one that a run has written, and the study as resolved would replace "
            "it: choose another --out"
        )
    try:
        return parse_study(text, directory.resolve().name, where=str(file))
    except StudyError as error:
        raise StudyError(f"{error}; remove {file} or choose another --out") from error


def _check_records(file: Path) -> None:
    if not file.is_file():
        return
    with file.open(encoding="utf-8", errors="replace") as stream:
        columns = stream.readline().strip().split(",")
    if "case" not in columns:
        raise StudyError(
            f"{file} is not one that a run has written, and ours would replace it: choose another "
            "--out"
        )


def is_resolved(text: str) -> bool:
    """Whether a study.toml is one that a run has written.

    Earlier versions wrote no mark: theirs says what only a run fills in, with no line that we would
    write otherwise.
    """
    if MARK in text.splitlines():
        return True
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return False
    filled_in = "threads" in content and content.get("precision", "auto") != "auto"
    return filled_in and _settings(tomlkit.dumps(content)) == _settings(text)


def _settings(text: str) -> list[str]:
    """The lines of a TOML text but its headings, in whatever order its tables stand."""
    return sorted(line for line in text.splitlines() if line and not line.startswith("["))


def others(directory: Path, names: Collection[str]) -> list[str]:
    """Cases that an earlier run has records of and that are none of these names."""
    file = directory / "records.csv"
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8", errors="replace") as stream:
        try:
            found = dict.fromkeys(row.get("case") or "" for row in csv.DictReader(stream))
        except csv.Error:  # no records of ours
            return []
    return [case for case in found if case and case not in names]
