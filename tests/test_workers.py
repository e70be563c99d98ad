"""Handing out cases: order, failures, cases that others hold; processes that die or are stopped."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest
from rich.console import Console

from compare import execute
from compare.cases import expand
from compare.method_facts import method_facts
from compare.plan import Plan
from compare.progress import Progress
from compare.store import CaseBusy
from compare.study import parse_study
from compare.workers import Workers
from compare.workers.ticks import Tick, following
from tests.test_cluster import STUDY


class Recorded:
    """Workers that do nothing but what `outcome(name)` says, and keep the order."""

    def __init__(
        self, plan: Plan, outcome: Callable[[str], Exception | None], slots: int = 1
    ) -> None:
        self.plan, self.outcome, self.slots = plan, outcome, slots
        self.order: list[str] = []

    def submit(self, index: int) -> Future[Exception | None]:
        name = self.plan.names[index]
        future: Future[Exception | None] = Future()
        result = self.outcome(name)
        self.order.append(name)
        if result is None:
            self.plan.store.path(name).mkdir(parents=True)
        future.set_result(result)
        return future

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        return


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Of each of two seeds: an ANN, a conversion, a directly trained network."""
    study = parse_study(STUDY, "small", where="small.toml").model_copy(update={"threads": 1})
    cases = tuple(expand(study, method_facts(list(study.methods)), sweep_precision="int16"))
    names = tuple(f"{case.method}-{case.seed}" for case in cases)
    plan = Plan(study, tmp_path, cases, names, tuple(float(i + 1) for i in range(len(cases))))
    plan.store.prepare()
    return plan


def progress_of(plan: Plan) -> Progress:
    return Progress(sum(plan.work), len(plan.names), Console(quiet=True))


def work_through(plan: Plan, workers: Recorded) -> dict[str, str]:
    everything = list(range(len(plan.names)))
    return execute.work_through(plan, everything, workers, progress_of(plan))


def test_one_after_another_ends_with_what_starts_from_anns(plan: Plan) -> None:
    workers = Recorded(plan, lambda name: None)
    assert work_through(plan, workers) == {}
    assert plan.names[:3] == ("ann-0", "robust-norm-0", "bptt-0")
    assert workers.order == ["ann-0", "bptt-0", "ann-1", "bptt-1", "robust-norm-0", "robust-norm-1"]


def test_several_at_once_begin_with_anns_and_large_ones(plan: Plan) -> None:
    workers = Recorded(plan, lambda name: None, slots=2)
    assert work_through(plan, workers) == {}
    assert sorted(workers.order) == sorted(plan.names)
    # ready from the start: seed 1 first (larger numbers in `plan`), then those that are left
    assert workers.order[:2] == ["bptt-1", "ann-1"]
    for seed in (0, 1):
        assert workers.order.index(f"ann-{seed}") < workers.order.index(f"robust-norm-{seed}")


def test_what_starts_from_a_failed_ann_is_not_tried(plan: Plan) -> None:
    def outcome(name: str) -> Exception | None:
        return ValueError("the loss is nan") if name == "ann-0" else None

    workers = Recorded(plan, outcome)
    assert work_through(plan, workers) == {
        "ann-0": "the loss is nan",
        "robust-norm-0": "its ANN failed",
    }
    assert "robust-norm-0" not in workers.order
    assert "robust-norm-1" in workers.order


def test_a_case_that_another_command_holds_is_tried_again(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "WAIT_FOR_OTHERS_S", 0.0)
    tries = 0

    def outcome(name: str) -> Exception | None:
        nonlocal tries
        tries += name == "ann-0"
        return CaseBusy("held") if name == "ann-0" and tries < 3 else None

    workers = Recorded(plan, outcome)
    assert work_through(plan, workers) == {}
    assert workers.order.count("ann-0") == 3
    assert workers.order.index("robust-norm-0") > workers.order.index("ann-0")


def test_what_workers_raise_ends_the_study(plan: Plan) -> None:
    class Broken(Recorded):
        def submit(self, index: int) -> Future[Exception | None]:
            future: Future[Exception | None] = Future()
            future.set_exception(OSError("no space left"))
            return future

    with pytest.raises(OSError, match="no space left"):
        work_through(plan, Broken(plan, lambda name: None))


def test_ticks_of_other_processes_are_summed(plan: Plan) -> None:
    progress = progress_of(plan)
    with following(plan, range(3), progress):
        Tick(plan, 0)("first", 0.5)
        Tick(plan, 1)("second", 99.0)  # more than the case's whole work, 2
        (plan.directory / "work" / f"{plan.names[2]}.tick").write_text("1e")  # half written
    assert progress.done == 0.5 + 2.0
    assert progress.label == "first · second"
    assert not list((plan.directory / "work").glob("*.tick"))


def start(folder: Path) -> subprocess.Popen[str]:
    """A study with two processes at once, in a process group of its own, as a shell does it."""
    (folder / "small.toml").write_text(STUDY)
    return subprocess.Popen(
        [sys.executable, "-m", "compare", "compare", "small.toml", "--jobs", "2", "--out", "two"],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def children(process: int) -> list[int]:
    """Processes that this one has started and that live."""
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(number) for number in text.split()]


def living(group: int) -> list[str]:
    """States of the processes of a group, but for those that only wait to be collected."""
    states = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            state, _, its_group = file.read_text().rpartition(") ")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                states.append(state)
    return states


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


@pytest.mark.slow
def test_an_interrupt_while_processes_start_leaves_no_trace(tmp_path: Path) -> None:
    """Ctrl-C reaches all processes of the terminal, also one that is just importing torch."""
    process = start(tmp_path)
    wait_for(lambda: len(children(process.pid)) >= 3)  # the pool's two, and one that tracks them
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "the same command goes on" in error
    assert "Traceback" not in error
    wait_for(lambda: not living(process.pid))


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_study_in_one_line(tmp_path: Path) -> None:
    process = start(tmp_path)

    def owners() -> list[int]:
        texts = [lock.read_text() for lock in (tmp_path / "two" / "work").glob("*.lock")]
        return [json.loads(text)["process"] for text in texts if text]

    wait_for(owners)
    os.kill(owners()[0], signal.SIGKILL)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2, error
    assert "was killed, by the system for want of memory perhaps" in error.splitlines()[-1]
    assert "Traceback" not in error
    wait_for(lambda: not living(process.pid))
