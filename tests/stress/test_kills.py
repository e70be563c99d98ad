"""A real study, killed again and again at any moment, ends as one that was never disturbed."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from compare.store import Store
from tests.stress import runs
from tests.stress.conftest import STRESS, Tally, only_stress

KILLS = 25 if STRESS else 5  # in each part of the test
PARTS = (0, 1) if STRESS else (0,)
SEEDS = 2 if STRESS else 1
SPREAD = 0.4  # a kill by the clock: within this share of an undisturbed run
CHANGES = 120 if STRESS else 60  # a kill by the files: at one of these first changes of a file
LOAD_S = 300.0  # at most, on a busy machine


class Undisturbed(NamedTuple):
    """The files of a study that nothing happened to, and how many seconds it took."""

    files: dict[str, bytes]
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    runs.write(folder, SEEDS)
    runs.server()
    begun = time.monotonic()
    result = runs.run(folder, "compare", "small.toml", "--jobs", "1")
    assert result.returncode == 0, result.stderr
    files = runs.files_of(folder / "runs" / "small")
    assert sum(name.endswith("weights.safetensors") for name in files) == SEEDS * runs.CASES
    return Undisturbed(files, time.monotonic() - begun)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_killed_at_any_moment(
    part: int, undisturbed: Undisturbed, tmp_path: Path, tally: Tally
) -> None:
    """Each start has one or two --jobs, by chance; so one run goes on with what another began."""
    chance = random.Random(f"kills {part}")
    left = KILLS
    for number in range(1000):
        folder = tmp_path / str(number)
        runs.write(folder, SEEDS)
        for moment in killed_until_finished(folder, chance, left, SPREAD * undisturbed.seconds):
            left -= 1
            tally("kills survived")
            tally(f"kills survived, {moment}")
        assert runs.differing(runs.files_of(folder / "runs" / "small"), undisturbed.files) == []
        tally("killed studies that ended the same, byte for byte")
        if not left:
            return


def killed_until_finished(
    folder: Path, chance: random.Random, most: int, within_s: float
) -> Iterator[str]:
    """Run one study, killing it at most so many times; the moment of every kill in words."""
    store = Store(folder / "runs" / "small")
    kept: set[str] = set()
    for _ in range(most):
        by_file = chance.random() < 0.5
        process = runs.start(
            folder, *("compare", "small.toml", "--jobs", str(chance.choice((1, 2)))),
            kill_at=chance.randrange(1, CHANGES) if by_file else None,
        )  # fmt: skip
        if not by_file:
            wait_for_work(process, store)
            if process.wait(chance.uniform(0.0, within_s)) is None:
                process.kill()
        code = process.wait()
        finished = {path.name for path in store.cases.glob("[!.]*")}
        assert kept <= finished, "a finished case was lost"
        assert all(store.finished(name) for name in finished)
        kept = finished
        if code == 0:
            return
        assert code == -signal.SIGKILL, process.error.read_text()
        yield "while writing" if by_file else moment_of(store)
    result = runs.run(folder, "compare", "small.toml", "--jobs", "1")
    assert result.returncode == 0, result.stderr


def wait_for_work(process: runs.Run, store: Store) -> None:
    """Until the program is loaded and has begun to run what is missing."""
    begun, deadline = time.time(), time.monotonic() + LOAD_S
    file = store.directory / "progress.json"
    while process.wait(0.05) is None and time.monotonic() < deadline:
        if file.exists() and file.stat().st_mtime > begun:
            return


def moment_of(store: Store) -> str:
    """What the study did when it was killed, as progress.json has it."""
    content = json.loads((store.directory / "progress.json").read_text())
    if content["state"] != "running":
        return "after the cases"
    for stage in ("training", "sweep", "evaluation"):
        if content["current"].endswith(stage):
            return f"in {stage}"
    return "in conversion or between stages"


def lives(number: int) -> bool:
    """Whether a process runs still: the states Z and X are those of one that has ended."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed_alone(tmp_path: Path, tally: Tally) -> None:
    """Otherwise they would hold their locks, and the same command would have to wait."""
    runs.write(tmp_path, SEEDS)
    process = runs.start(tmp_path, "compare", "small.toml", "--jobs", "2")
    store = Store(tmp_path / "runs" / "small")
    wait_for_work(process, store)
    deadline = time.monotonic() + LOAD_S
    while not (logs := list((store.directory / "work").glob("*/log.txt"))):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    workers = {int(log.read_text().split("begun by process ")[1].split()[0]) for log in logs}
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    while any(lives(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for lock in (store.directory / "work").glob("*.lock"):
        with store.lock(lock.stem):
            pass
    tally("faults tried: parent of --jobs killed alone")


@pytest.mark.slow
@only_stress
def test_a_worker_that_is_killed_is_said_and_loses_nothing(
    tmp_path: Path, undisturbed: Undisturbed, tally: Tally
) -> None:
    """As the kernel does where memory is short: one process of the study dies, not all."""
    runs.write(tmp_path, SEEDS)
    process = runs.start(tmp_path, "compare", "small.toml", "--jobs", "2")
    store = Store(tmp_path / "runs" / "small")
    deadline = time.monotonic() + LOAD_S
    while not (logs := list((store.directory / "work").glob("*/log.txt"))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    worker = int(logs[0].read_text().split("begun by process ")[1].split()[0])
    os.kill(worker, signal.SIGKILL)
    assert process.wait() == 2
    assert "a process of this study was killed" in process.error.read_text().splitlines()[-1]
    assert runs.run(tmp_path, "compare", "small.toml", "--jobs", "2").returncode == 0
    assert runs.differing(runs.files_of(store.directory), undisturbed.files) == []
    tally("faults tried: one worker of --jobs killed")


@pytest.mark.slow
@only_stress
def test_a_report_that_is_killed_leaves_the_earlier_one(tmp_path: Path, tally: Tally) -> None:
    runs.write(tmp_path, 1)
    assert runs.run(tmp_path, "compare", "small.toml", "--jobs", "1").returncode == 0
    study = tmp_path / "runs" / "small"
    assert runs.run(tmp_path, "report", "runs/small", report=True).returncode == 0
    page = (study / "report" / "index.html").read_bytes()
    chance = random.Random("report")
    killed = 0
    while killed < 5:
        kill_at = chance.randrange(1, 60)
        process = runs.start(tmp_path, "report", "runs/small", kill_at=kill_at, report=True)
        code = process.wait()
        if code == 0:
            continue  # it had fewer changes to make
        assert code == -signal.SIGKILL
        killed += 1
        assert (study / "report" / "index.html").read_bytes() == page
        tally("kills survived")
        tally("kills survived, in the report")
    assert runs.run(tmp_path, "report", "runs/small", report=True).returncode == 0
    assert (study / "report" / "index.html").read_bytes() == page
    assert not list((study / "report").glob(".*"))
