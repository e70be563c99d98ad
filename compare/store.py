"""Run directories: a case is complete or absent.

A case is written to a directory beside its place, synced, and renamed. Every file's sha256 stands
in its case.json, and case.json's own as well, so a truncated, edited or foreign file is found and
said by name. A lock per case (released by the kernel when its owner dies) keeps two processes from
running one case twice.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from network.files import partial_of, replacing, sync

FORMAT = 1
CASE_FILE = "case.json"
LOG_FILE = "log.txt"
STALE_S = 3600.0  # no single file takes longer to write: what is older was left by a killed process
RECORD_COLUMNS = (
    "study", "dataset", "architecture", "depth", "arm", "method", "encoding", "seed",
    "train_timesteps", "timestep", "images", "correct", "accuracy", "spikes_per_image",
    "input_spikes_per_image", "ac_per_image", "mac_per_image", "neuron_updates_per_image",
    "energy_pj_per_image", "calibration_timesteps", "case",
)  # fmt: skip


class DamagedCase(ValueError):
    """A finished case whose files are not the ones that were written."""


class CaseBusy(ValueError):
    """Another process runs this case now."""


@dataclass(frozen=True)
class Store:
    """The directory of one study: study.toml, cases/, work/, records.csv."""

    directory: Path

    @property
    def cases(self) -> Path:
        return self.directory / "cases"

    def path(self, case: str) -> Path:
        return self.cases / case

    def work(self, case: str) -> Path:
        """Where checkpoints of an unfinished case are kept."""
        return self.directory / "work" / case

    def prepare(self) -> None:
        """Make the directories, clear what killed processes left; OSError where that fails."""
        self.cases.mkdir(parents=True, exist_ok=True)
        (self.directory / "work").mkdir(exist_ok=True)
        for left in self.directory.glob(".*.partial"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > STALE_S:
                    left.unlink()

    def finished(self, case: str) -> bool:
        """Whether the case is there, whole; raises DamagedCase naming the file that is not."""
        if not self.path(case).exists():
            return False
        self.read(case)
        shutil.rmtree(self.work(case), ignore_errors=True)  # left by a kill just after the renaming
        return True

    def read(self, case: str) -> dict[str, Any]:
        """case.json of a finished case, after comparing every file with its checksum."""
        folder = self.path(case)
        try:
            content = json.loads((folder / CASE_FILE).read_text("utf-8"))
            checksums = dict(content["checksums"])
            if content["format"] != FORMAT or content["case"] != case:
                raise KeyError("case")
            if content.pop("checksum", None) not in (None, text_sha256(as_json(content))):
                raise KeyError("checksum")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedCase(
                f"{folder / CASE_FILE} is not the record of this case: "
                f"remove {folder} and run again"
            ) from error
        for name, expected in checksums.items():
            file = folder / name
            if not file.is_file() or sha256(file) != expected:
                state = "differs from what was written" if file.is_file() else "is missing"
                raise DamagedCase(f"{file} {state}: remove {folder} and run again")
        for file in sorted(folder.iterdir()):
            if file.name not in (*checksums, CASE_FILE) and not file.name.startswith("."):
                raise DamagedCase(f"{file} is not a file of this case: remove it and run again")
        return dict(content)

    @contextlib.contextmanager
    def writing(self, case: str, content: dict[str, Any]) -> Iterator[Path]:
        """A directory to write the files of a case into; kept only if the block ends well.

        The case's log, where there is one, becomes one of its files. Where locks do not hold (some
        network storage, a machine thought dead), two may write the same case: each writes into a
        directory of its own name, and the first one's is kept; the other hears CaseBusy.
        """
        for left in self.cases.glob(f".{case}.*partial"):
            shutil.rmtree(left, ignore_errors=True)
        partial = partial_of(self.path(case))
        partial.mkdir(parents=True)
        try:
            yield partial
            if (self.work(case) / LOG_FILE).is_file():
                shutil.copyfile(self.work(case) / LOG_FILE, partial / LOG_FILE)
            names = sorted(p.name for p in partial.iterdir())
            checksums = {name: sha256(partial / name) for name in names}
            full = {"format": FORMAT, "case": case, **content, "checksums": checksums}
            full["checksum"] = text_sha256(as_json(full))  # of all that stands above it
            (partial / CASE_FILE).write_text(as_json(full), "utf-8")
            for file in partial.iterdir():
                sync(file)
            sync(partial)
            if self.path(case).exists():
                raise CaseBusy(f"case {case} was finished by another process meanwhile")
            partial.rename(self.path(case))
            sync(self.cases)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        shutil.rmtree(self.work(case), ignore_errors=True)

    @contextlib.contextmanager
    def lock(self, case: str) -> Iterator[None]:
        """Hold the case; CaseBusy with owner and age where another process does."""
        file = self.directory / "work" / f"{case}.lock"
        with file.open("a+") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                stream.seek(0)
                raise CaseBusy(f"case {case} is being run by {_owner(stream.read())}") from error
            stream.seek(0)
            stream.truncate()
            owner = {"host": socket.gethostname(), "process": os.getpid(), "since": time.time()}
            stream.write(json.dumps(owner))
            stream.flush()
            yield

    def write_records(self, study: str, cases: Sequence[str]) -> None:
        """records.csv from the finished ones among the cases, in the order of the study."""
        lines = []
        for case in cases:
            if not self.path(case).exists():
                continue
            content = json.loads((self.path(case) / CASE_FILE).read_text("utf-8"))
            with (self.path(case) / "sweep.csv").open(newline="", encoding="utf-8") as stream:
                lines += [_record(study, case, content, row) for row in csv.DictReader(stream)]
        with replacing(self.directory / "records.csv") as partial:
            write_csv(partial, RECORD_COLUMNS, lines)


def _record(study: str, case: str, content: dict[str, Any], row: dict[str, str]) -> dict[str, Any]:
    spec = content["spec"]
    named = {key: spec[key] for key in RECORD_COLUMNS if key in spec}
    counted = {key: row[key] for key in RECORD_COLUMNS if key in row}
    return {
        **named,
        **counted,
        "study": study,
        "case": case,
        "calibration_timesteps": content["calibration_timesteps"],
    }


def _owner(text: str) -> str:
    try:
        owner = json.loads(text)
        age = time.time() - owner["since"]
        return f"process {owner['process']} on {owner['host']} for {age / 60:.0f} minutes"
    except (ValueError, KeyError, TypeError):
        return "another process"


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Rows as CSV; None is an empty field, floats keep all their digits."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n", restval="")
        writer.writeheader()
        for row in rows:
            unknown = set(row) - set(columns)
            if unknown:
                raise ValueError(f"{path.name} has no column {sorted(unknown)}")
            writer.writerow({k: _number(v) for k, v in row.items()})


def _number(value: Any) -> Any:
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return value


def as_json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def replace_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write a file whole or not at all."""
    with replacing(path, durable=durable) as partial:
        partial.write_text(text, "utf-8")


def write_first(path: Path, text: str) -> bool:
    """Write a file that is not there, whole; False where another process has done so meanwhile."""
    partial = partial_of(path)
    partial.write_text(text, "utf-8")
    try:
        os.link(partial, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without links: the last one to write decides
        replace_text(path, text)
    finally:
        partial.unlink(missing_ok=True)
    return True


def text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
