"""`isospike status`: the state of a study from its files, without torch."""

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from compare.status import StatusError, lines, status

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
DEAD = 2**22 + 1  # beyond the largest process number of Linux


def write(directory: Path, **changes: object) -> None:
    """A study directory with two finished cases of three."""
    (directory / "study.toml").write_text('name = "small"\n')
    for name, method, minute in (("a-ann-s0", "ann", 1), ("b-bptt-s0", "bptt", 9)):
        case = directory / "cases" / name
        case.mkdir(parents=True)
        (case / "sweep.csv").write_text("timestep,accuracy\n1,0.5\n2,0.75\n")
        content = {
            "spec": {"method": method},
            "finished": f"2026-01-01T10:{minute:02}:00+00:00",
            "elapsed_s": {"total": 30.0},
        }
        (case / "case.json").write_text(json.dumps(content))
    (directory / "work" / "c-tdbn-s0").mkdir(parents=True)
    (directory / "work" / "c-tdbn-s0" / "checkpoint.pt").touch()
    progress = {
        "cases": 3, "finished": 2, "share": 0.625, "seconds_left": 120.0, "elapsed_s": 200.0,
        "current": "mnist-5k lenet tdbn, seed 0: training", "process": os.getpid(),
        "host": socket.gethostname(), "written": "2026-01-01T11:50:00+0000", **changes,
    }  # fmt: skip
    (directory / "progress.json").write_text(json.dumps(progress))


def test_a_running_study(tmp_path: Path) -> None:
    write(tmp_path)
    found = status(tmp_path, NOW)
    assert found.state == "running"
    assert [case.accuracy for case in found.finished] == [0.75, 0.75]  # at the largest T
    said = lines(found)
    assert "62% of the last run's work, 2 min left" in said[0]
    assert said[1] == "now: mnist-5k lenet tdbn, seed 0: training"
    assert said[2] == "finished cases: 2 (1 ann, 1 bptt)"
    assert said[4].split() == ["10:09", "75.00", "%", "30", "s", "b-bptt-s0"]
    assert said[5] == "begun, to go on from: c-tdbn-s0"


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"finished": 3}, "finished"),
        ({"state": "failed", "failures": {"c": "NaN"}}, "ended, 1 cases failed"),
        ({"state": "interrupted"}, "stopped 10 min ago; the same command goes on from there"),
        ({"process": DEAD}, "stopped 10 min ago; the same command goes on from there"),
        ({"host": "elsewhere", "written": "2026-01-01T11:58:00+0000"}, "running"),
        (
            {"host": "elsewhere", "written": "2026-01-01T11:00:00+0000"},
            "stopped 60 min ago; the same command goes on from there",
        ),
    ],
)
def test_states(tmp_path: Path, changes: dict[str, object], state: str) -> None:
    write(tmp_path, **changes)
    assert status(tmp_path, NOW).state == state


def test_failures_are_said(tmp_path: Path) -> None:
    write(tmp_path, state="failed", failures={"c-tdbn-s0": "the loss is nan"})
    assert "failed: c-tdbn-s0: the loss is nan" in lines(status(tmp_path, NOW))


def test_a_large_study_fits_one_screen(tmp_path: Path) -> None:
    write(tmp_path)
    source = (tmp_path / "cases" / "a-ann-s0" / "case.json").read_text()
    for number in range(60):
        case = tmp_path / "cases" / f"x-{number}"
        case.mkdir()
        (case / "case.json").write_text(source)
    assert len(lines(status(tmp_path, NOW))) <= 20


def test_not_begun_and_not_a_study(tmp_path: Path) -> None:
    with pytest.raises(StatusError, match=r"is not a study: it has no study\.toml"):
        status(tmp_path)
    with pytest.raises(StatusError, match=r"nowhere does not exist: no study was begun there"):
        status(tmp_path / "nowhere")
    (tmp_path / "study.toml").touch()
    assert lines(status(tmp_path)) == [f"{tmp_path}: not begun", "finished cases: 0"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("progress.json", "{}"),
        ("progress.json", '{"cases": 3, "fini'),
        ("progress.json", '{"state": "failed"}'),
        ("cases/a-ann-s0/case.json", '{"spec": 1}'),
        ("cases/a-ann-s0/sweep.csv", "timestep,accuracy\n1,high\n"),
    ],
)
def test_a_foreign_file_is_named(tmp_path: Path, file: str, text: str) -> None:
    write(tmp_path)
    (tmp_path / file).write_text(text)
    with pytest.raises(StatusError, match=rf"{tmp_path / file} is not .*: remove "):
        status(tmp_path, NOW)


@pytest.mark.parametrize(
    "changes", [{"cases": "3"}, {"process": 0}, {"process": 2**70}, {"written": "2026-01-01"}]
)
def test_what_no_run_writes_is_said(tmp_path: Path, changes: dict[str, object]) -> None:
    write(tmp_path, **changes)
    with pytest.raises(StatusError, match=r"progress\.json is not one that a run has written"):
        status(tmp_path, NOW)


def test_cases_without_progress(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "progress.json").unlink()
    said = lines(status(tmp_path, NOW))
    assert said[0] == f"{tmp_path}: not known to run (it has no progress.json)"
    assert said[1] == "finished cases: 2 (1 ann, 1 bptt)"


def test_the_command_needs_no_torch(tmp_path: Path) -> None:
    write(tmp_path)
    program = (
        "import sys; sys.modules['torch'] = None; from compare.__main__ import main; "
        f"sys.argv = ['isospike', 'status', {str(tmp_path)!r}]; main()"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == str(tmp_path)
