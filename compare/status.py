"""How far a study is, from the files in its directory: what is done, what runs, time left."""

from __future__ import annotations

import csv
import json
import os
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compare.progress import duration

SHOWN = 8  # finished cases that are listed, the newest
KINDS: dict[str, tuple[type, ...]] = {
    "cases": (int,), "finished": (int,), "share": (int, float),
    "seconds_left": (int, float, type(None)), "current": (str,), "process": (int,),
    "written": (str,),
}  # fmt: skip
"""What progress.json must hold, and as what."""
STALE_S = 300.0  # a study that runs writes more often than this


class StatusError(ValueError):
    """A directory that is not one of a study."""


@dataclass(frozen=True)
class Finished:
    """One finished case: when it ended, how long it took, its accuracy at its largest T."""

    case: str
    method: str
    finished: str
    seconds: float
    accuracy: float | None


@dataclass(frozen=True)
class Status:
    """A study as its files show it now.

    state: 'not begun', 'running', 'finished', how many cases failed, or since when it is stopped;
        'not known to run' where there are cases and no progress.json.
    progress: progress.json of the newest run, empty where there is none.
    unfinished: cases with a checkpoint, of a training or a sweep, to go on from.
    """

    directory: Path
    state: str
    progress: Mapping[str, Any]
    finished: tuple[Finished, ...]
    unfinished: tuple[str, ...]
    reported: bool


def status(directory: Path, now: datetime | None = None) -> Status:
    """Read a study directory; raises StatusError where it is none."""
    if not directory.exists():
        raise StatusError(f"{directory} does not exist: no study was begun there")
    if not (directory / "study.toml").is_file():
        raise StatusError(f"{directory} is not a study: it has no study.toml")
    progress = _progress(directory / "progress.json")
    folders = sorted((directory / "cases").glob("[!.]*/case.json"))
    cases = sorted((_finished(path) for path in folders), key=lambda case: case.finished)
    kept = {path.parent.name for path in (directory / "work").glob("*/*.pt")}
    begun = kept - {path.parent.name for path in folders}
    return Status(
        directory=directory,
        state=_state(progress, now or datetime.now(UTC)) if progress else _without(cases),
        progress=progress,
        finished=tuple(cases),
        unfinished=tuple(sorted(begun)),
        reported=(directory / "report" / "index.html").is_file(),
    )


def lines(found: Status) -> list[str]:
    """The status in at most one screen of plain lines."""
    progress, cases = found.progress, found.finished
    head = f"{found.directory}: {found.state}"
    if progress:
        left = progress["seconds_left"]
        head += f", {progress['share']:.0%} of the last run's work"
        if found.state == "running" and left is not None:
            head += f", {duration(left)} left"
    said = [head]
    if found.state == "running" and progress["current"]:
        said.append(f"now: {progress['current']}")
    methods = Counter(case.method for case in cases)
    counts = ", ".join(f"{count} {method}" for method, count in methods.items())
    said.append(f"finished cases: {len(cases)}" + (f" ({counts})" if cases else ""))
    said += [f"  {_row(case)}" for case in cases[-SHOWN:]]
    if len(cases) > SHOWN:
        said.append(f"  and {len(cases) - SHOWN} before these")
    if found.unfinished:
        said.append("begun, to go on from: " + ", ".join(found.unfinished[:SHOWN]))
    failures = progress.get("failures", {})
    said += [f"failed: {name}: {why}" if name else why for name, why in failures.items()][:SHOWN]
    if found.reported:
        said.append(f"report: {found.directory / 'report' / 'index.html'}")
    return said


def _without(cases: Sequence[Finished]) -> str:
    """Where there is no progress.json."""
    return "not known to run (it has no progress.json)" if cases else "not begun"


def _state(progress: Mapping[str, Any], now: datetime) -> str:
    """By whether its process lives; by the age of progress.json where it is another machine's."""
    if progress.get("state") == "failed":
        return f"ended, {len(progress['failures'])} cases failed"
    if progress["finished"] >= progress["cases"]:
        return "finished"
    age = (now - datetime.fromisoformat(progress["written"])).total_seconds()
    here = progress.get("host") == socket.gethostname()
    over = progress.get("state", "running") != "running"
    if not over and (_lives(progress["process"]) if here else age < STALE_S):
        return "running"
    return f"stopped {duration(age)} ago; the same command goes on from there"


def _lives(process: int) -> bool:
    """Whether there is a process of that number (it may by now be another one's)."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _finished(path: Path) -> Finished:
    content, accuracy = _json(path) or {}, _last_accuracy(path.parent / "sweep.csv")
    try:
        return Finished(
            case=path.parent.name,
            method=str(content["spec"]["method"]),
            finished=str(content["finished"]),
            seconds=float(content["elapsed_s"]["total"]),
            accuracy=accuracy,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StatusError(f"{path} is not the record of a case: remove {path.parent}") from error


def _last_accuracy(path: Path) -> float | None:
    """Raises StatusError for a file that holds no accuracies."""
    if not path.is_file():
        return None
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        return float(rows[-1]["accuracy"]) if rows else None
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise StatusError(f"{path} is not the sweep of a case: remove {path.parent}") from error


def _row(case: Finished) -> str:
    percent = "–" if case.accuracy is None else f"{100 * case.accuracy:.2f} %"
    return f"{case.finished[11:16]}  {percent:>8}  {duration(case.seconds):>6}  {case.case}"


def _progress(path: Path) -> dict[str, Any]:
    """progress.json, empty where there is none; StatusError where no run has written it."""
    if not path.exists():
        return {}
    content = _json(path) or {}
    try:
        typed = all(isinstance(content[key], kinds) for key, kinds in KINDS.items())
        known = isinstance(content.setdefault("failures", {}), dict)
        if not (typed and known and 0 < content["process"] < 2**31):
            raise ValueError("progress")
        if datetime.fromisoformat(content["written"]).tzinfo is None:
            raise ValueError("written")
    except (KeyError, ValueError) as error:
        raise StatusError(
            f"{path} is not one that a run has written: remove it, the next run writes it anew"
        ) from error
    return content


def _json(path: Path) -> dict[str, Any] | None:
    """The content of a JSON file, None where it is absent or cut off."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
