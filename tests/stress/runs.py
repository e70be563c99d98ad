"""A real but small study in processes of its own, and what its files are compared by."""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

VICTIM = Path(__file__).with_name("victim.py")
SMALL = """
name = "small"
datasets = ["mnist-5k"]
architectures = ["lenet"]
methods = ["robust-norm", "srp", "bptt", "hybrid"]
seeds = {seeds}
timesteps = 100
width = 0.2
train_images = 300
test_images = 100
validation_images = 50
calibration_images = 100
train_timesteps = [2]
batch_size = 20
precision = "float32"
sweep_precision = "int16"
threads = 1

[ann]
epochs = 6

[direct]
epochs = 3
"""
CASES = 6  # for each seed: ann, qcfs-ann and four spiking networks
OF_TIME = ("case.json", "log.txt", "history.csv")  # hold times: not the same twice


def write(folder: Path, seeds: int) -> None:
    """The study file in a folder that is made."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.toml").write_text(SMALL.format(seeds=seeds))


class Server:
    """A process that has the program loaded and forks one run at a time."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(VICTIM)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.process.communicate)  # its input ends, and so does it

    def answer(self, timeout: float | None = None) -> int | None:
        """The next number that it says; None where it says nothing in that time."""
        assert self.process.stdout is not None
        if timeout is not None:
            ready, _, _ = select.select([self.process.stdout], [], [], timeout)
            if not ready:
                return None
        return int(self.process.stdout.readline())


@cache
def server() -> Server:
    """One for all tests of this process."""
    return Server()


class Mark(NamedTuple):
    """A line of Run.marks: a stage of a case begins or ends, in which process, when."""

    what: str
    stage: str
    process: str
    at_s: float


class Run:
    """`isospike` in a forked process, in a process group of its own; see victim.py."""

    def __init__(self, folder: Path, arguments: tuple[str, ...], extra: dict[str, str]) -> None:
        self.error = folder / f".error-{len(list(folder.glob('.error-*')))}"
        self.out = self.error.with_name(self.error.name.replace("error", "out"))
        self.marked = self.error.with_name(self.error.name.replace("error", "marks"))
        self.server = server()
        order = {
            "arguments": arguments,
            "folder": str(folder),
            "environment": {**extra, "ISOSPIKE_MARKS": str(self.marked)},
            "out": str(self.out),
            "error": str(self.error),
        }
        assert self.server.process.stdin is not None
        self.server.process.stdin.write(json.dumps(order) + "\n")
        self.server.process.stdin.flush()
        self.pid = self.server.answer()
        self.code: int | None = None

    def wait(self, timeout: float | None = None) -> int | None:
        """Its exit code (negative: the signal), None where it runs still after that time."""
        if self.code is None:
            self.code = self.server.answer(timeout)
        return self.code

    def marks(self) -> list[Mark]:
        """What its processes have begun and ended so far."""
        text = self.marked.read_text() if self.marked.exists() else ""
        lines = text.rpartition("\n")[0].splitlines()
        return [Mark(*words[:3], float(words[3])) for words in map(str.split, lines)]

    def kill(self) -> None:
        """SIGKILL to it and all that it started."""
        assert self.pid is not None
        with suppress(ProcessLookupError):  # it may just have ended
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()


def environment() -> dict[str, str]:
    """Ours is the program that runs, with one thread."""
    root = str(Path(__file__).parent.parent.parent)
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root}


def start(
    folder: Path, *arguments: str,
    kill_at: int | None = None, kill_in: str | None = None, report: bool = False,
) -> Run:  # fmt: skip
    """Start `isospike`; kill_at: at which change of a file, of that stage, it kills itself."""
    extra = {} if report else {"ISOSPIKE_NO_REPORT": "1"}
    if kill_at is not None:
        extra["ISOSPIKE_KILL_AT"] = str(kill_at)
    if kill_in is not None:
        extra["ISOSPIKE_KILL_IN"] = kill_in
    return Run(folder, arguments, extra)


def run(folder: Path, *arguments: str, report: bool = False) -> subprocess.CompletedProcess[str]:
    """The same, to its end."""
    process = start(folder, *arguments, report=report)
    code = process.wait()
    assert code is not None
    texts = (file.read_text(errors="replace") for file in (process.out, process.error))
    return subprocess.CompletedProcess(arguments, code, *texts)


def apart(folder: Path, *arguments: str, bound: Sequence[str] = ()) -> subprocess.Popen[str]:
    """`isospike` in a process of its own, loaded anew, with its report.

    bound: a command in front of it that takes rights away.
    """
    return subprocess.Popen(
        [*bound, sys.executable, "-P", str(VICTIM), *arguments],
        cwd=folder, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def files_of(study: Path) -> dict[str, bytes]:
    """What must be the same byte for byte: the records, and the files of every case but its times.

    history.csv counts without its last column, the seconds.
    """
    found = {"records.csv": (study / "records.csv").read_bytes()}
    for case in sorted((study / "cases").glob("[!.]*")):
        for file in sorted(case.iterdir()):
            name = f"{case.name}/{file.name}"
            if file.name == "history.csv":
                rows = file.read_text().splitlines()
                found[name] = "\n".join(row.rpartition(",")[0] for row in rows).encode()
            elif file.name not in OF_TIME:
                found[name] = file.read_bytes()
    return found


def differing(one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    """Names of the entries that are not the same."""
    return sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))
