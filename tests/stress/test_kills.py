"""A real study, killed again and again at any moment, ends as one that was never disturbed.

Kills come by the clock or between two changes of files. Most are aimed at a stage, so that a short
one is hit as well, at a moment within it that chance decides.
"""

import os
import random
import re
import signal
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from compare.store import Store
from tests.stress import runs
from tests.stress.conftest import STRESS, Tally, only_stress

KILLS = 50 if STRESS else 4
STAGES = ("training", "conversion", "sweep", "writing")
OF_EACH = 6 if STRESS else 1  # kills at least, in every stage
REPORTS = 10  # kills of a report
STARTS = 8 * KILLS  # at most: those that end before their kill count too
SEEDS = 2 if STRESS else 1
ANYWHERE, BETWEEN = "anywhere", "between stages"
CHANGES = {"training": 60, "sweep": 15, "writing": 60, ANYWHERE: 120}  # one of these first ones
SPREAD = 0.4  # a kill by the clock anywhere: within this share of an undisturbed run
LOAD_S = 300.0  # at most, on a busy machine


class Undisturbed(NamedTuple):
    """The files of a study that nothing happened to, and how many seconds each stage took."""

    files: dict[str, bytes]
    seconds: dict[str, float]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    runs.write(folder, SEEDS)
    process = runs.start(folder, "compare", "small.toml", "--jobs", "1")
    assert process.wait() == 0, process.error.read_text()
    files = runs.files_of(folder / "runs" / "small")
    assert sum(name.endswith("weights.safetensors") for name in files) == SEEDS * runs.CASES
    marks = process.marks()
    seconds = {ANYWHERE: SPREAD * (marks[-1].at_s - marks[0].at_s)}
    for stage in STAGES:
        times = [mark.at_s for mark in marks if mark.stage == stage]  # one process: begin, end, …
        seconds[stage] = statistics.median(
            end - begin for begin, end in zip(times[::2], times[1::2], strict=True)
        )
    return Undisturbed(files, seconds)


@pytest.mark.slow
def test_killed_at_any_moment(undisturbed: Undisturbed, tmp_path: Path, tally: Tally) -> None:
    """Each start has one or two --jobs, by chance; so one run goes on with what another began."""
    kills = Kills(undisturbed.seconds, tally)
    went_on: Counter[str] = Counter()
    for number in range(STARTS):
        folder = tmp_path / str(number)
        runs.write(folder, SEEDS)
        kills.until_finished(folder)
        study = folder / "runs" / "small"
        assert runs.differing(runs.files_of(study), undisturbed.files) == []
        went_on += what_went_on(study)
        tally("killed studies that ended the same, byte for byte")
        if not kills.wanted:
            break
    assert kills.moments.total() >= KILLS
    assert all(kills.moments[stage] >= OF_EACH for stage in STAGES), kills.moments
    assert not STRESS or min(went_on["training"], went_on["sweep"]) > 0


class Kills:
    """The kills of a test. moments: how many there were, by the stage that was under way."""

    def __init__(self, seconds: dict[str, float], tally: Tally) -> None:
        self.seconds, self.tally = seconds, tally
        self.chance = random.Random(None if STRESS else "kills")
        self.moments: Counter[str] = Counter()
        self.starts = 0

    @property
    def wanted(self) -> bool:
        """Whether there shall be more."""
        few = any(self.moments[stage] < OF_EACH for stage in STAGES)
        return self.starts < STARTS and (few or self.moments.total() < KILLS)

    def until_finished(self, folder: Path) -> None:
        """Run one study, killing it while more kills are wanted."""
        store = Store(folder / "runs" / "small")
        kept: set[str] = set()
        halfway: set[str] = set()  # cases with an unfinished sweep
        while self.wanted:
            moment = self.start(folder)
            finished = {path.name for path in store.cases.glob("[!.]*")}
            assert kept <= finished, "a finished case was lost"
            kept = finished
            begun = {file.parent.name for file in (store.directory / "work").glob("*/sweep.pt")}
            halfway |= begun - finished
            assert all(store.finished(name) for name in finished)
            if moment is None:
                break
            self.moments[moment] += 1
            self.tally("kills survived")
            self.tally(f"kills survived: {moment}")
        else:
            result = runs.run(folder, "compare", "small.toml", "--jobs", "1")
            assert result.returncode == 0, result.stderr
        for case in halfway:
            log = (store.path(case) / "log.txt").read_text()
            assert "sweep goes on after" in log, log

    def start(self, folder: Path) -> str | None:
        """One start and its kill: what was under way then; None where the study ended before."""
        self.starts += 1
        missing = [stage for stage in STAGES if self.moments[stage] < OF_EACH]
        late = self.starts > STARTS // 4  # a stage may be short, and a kill come after it
        aim = self.chance.choice(missing if missing and late else [*(missing or STAGES), ANYWHERE])
        by_change = aim in CHANGES and self.chance.random() < 0.5
        process = runs.start(
            folder, *("compare", "small.toml", "--jobs", str(self.chance.choice((1, 1, 2)))),
            kill_at=self.chance.randrange(1, CHANGES[aim]) if by_change else None,
            kill_in=aim if by_change and aim in STAGES else None,
        )  # fmt: skip
        if not by_change:
            wait_for(process, aim, self.chance.randrange(1, 4))
            if process.wait(self.chance.uniform(0.0, self.seconds[aim])) is None:
                process.kill()
        code = process.wait()
        assert code in (0, -signal.SIGKILL), process.error.read_text()
        return under_way(process, aim) if code else None


def wait_for(process: runs.Run, stage: str, occasion: int) -> None:
    """Until that stage has begun so many times (anywhere: a first stage), or the process ended."""
    deadline = time.monotonic() + LOAD_S
    while process.wait(0.001) is None and time.monotonic() < deadline:
        begun = [mark.stage for mark in process.marks() if mark.what == "begin"]
        if begun.count(stage) >= occasion or (stage == ANYWHERE and begun):
            return


def under_way(process: runs.Run, aim: str) -> str:
    """The stage that had begun and not ended when it was killed; of several, the one aimed at."""
    open_stages: Counter[tuple[str, str]] = Counter()
    for mark in process.marks():
        open_stages[mark.process, mark.stage] += 1 if mark.what == "begin" else -1
    stages = sorted(stage for (_, stage), count in open_stages.items() if count)
    return aim if aim in stages else (stages or [BETWEEN])[0]


def what_went_on(study: Path) -> Counter[str]:
    """How many trainings and sweeps went on from a checkpoint; no epoch was run twice."""
    found: Counter[str] = Counter()
    for log in study.glob("cases/*/log.txt"):
        text = log.read_text()
        epochs = re.findall(r"epoch \d+ of", text)
        assert len(set(epochs)) == len(epochs), f"{log}: an epoch was run twice"
        found.update(stage for stage in ("training", "sweep") if f"{stage} goes on after" in text)
    return found


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
    wait_for(process, ANYWHERE, 1)
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
    process = runs.apart(tmp_path, "compare", "small.toml", "--jobs", "2")
    store = Store(tmp_path / "runs" / "small")
    deadline = time.monotonic() + LOAD_S
    while not (logs := list(store.cases.glob("*/log.txt"))):  # it has run a case and does the next
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(int(logs[0].read_text().split("begun by process ")[1].split()[0]), signal.SIGKILL)
    _, said = process.communicate(timeout=LOAD_S)
    assert process.returncode == 2
    assert "a process of this study was killed" in said.splitlines()[-1], said
    assert runs.run(tmp_path, "compare", "small.toml", "--jobs", "2").returncode == 0
    assert runs.differing(runs.files_of(store.directory), undisturbed.files) == []
    tally("faults tried: one worker of --jobs killed")


@pytest.mark.slow
@only_stress
def test_a_report_that_is_killed_leaves_the_earlier_one(tmp_path: Path, tally: Tally) -> None:
    runs.write(tmp_path, 1)
    assert runs.run(tmp_path, "compare", "small.toml", "--jobs", "1").returncode == 0
    study = tmp_path / "runs" / "small"
    begun = time.monotonic()
    assert runs.run(tmp_path, "report", "runs/small", report=True).returncode == 0
    seconds = time.monotonic() - begun
    page = (study / "report" / "index.html").read_bytes()
    chance = random.Random()
    killed = 0
    for number in range(4 * REPORTS):
        by_change = number % 2 == 0
        kill_at = chance.randrange(1, 60) if by_change else None
        process = runs.start(tmp_path, "report", "runs/small", kill_at=kill_at, report=True)
        if not by_change and process.wait(chance.uniform(0.0, seconds)) is None:
            process.kill()
        code = process.wait()
        assert code in (0, -signal.SIGKILL), process.error.read_text()
        assert (study / "report" / "index.html").read_bytes() == page
        if code:
            killed += 1
            tally("kills survived")
            tally("kills survived: report")
        if killed == REPORTS:
            break
    assert killed == REPORTS
    assert runs.run(tmp_path, "report", "runs/small", report=True).returncode == 0
    assert (study / "report" / "index.html").read_bytes() == page
    assert not list((study / "report").glob(".*"))
