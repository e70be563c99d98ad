"""A study on a Ray cluster: the records of one process, also when a machine is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from compare.machine import versions
from compare.study import StudyError
from compare.workers.cluster import _look, _run, connect
from tests.test_compare import isospike

STUDY = """
name = "small"
datasets = ["mnist-5k"]
architectures = ["lenet"]
methods = ["robust-norm", "bptt"]
seeds = 2
timesteps = 4
width = 0.2
train_images = 200
test_images = 40
calibration_images = 40
train_timesteps = [2]
precision = "float32"

[ann]
epochs = 1

[direct]
epochs = 2
"""


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nonsense", "must be auto or HOST:PORT, got 'nonsense'"),
        ("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1"),
        ("127.0.0.1:99999", "no Ray cluster answers at 127.0.0.1:99999"),
        ("no-such-host.invalid:6379", "no Ray cluster answers at no-such-host.invalid:6379"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_line(address: str, words: str) -> None:
    with pytest.raises(StudyError, match=words), connect(address):
        pass


def test_without_ray_the_line_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(StudyError, match=r"pip install 'isospike\[cluster\]'"), connect("auto"):
        pass


def test_a_machine_that_does_not_see_the_directory_says_so(tmp_path: Path) -> None:
    mark = tmp_path / "study" / "work" / ".cluster-1"
    with pytest.raises(StudyError, match=r"does not see .*/study: give an --out on storage"):
        _look(mark, versions())


def test_a_machine_with_other_versions_says_so(tmp_path: Path) -> None:
    (tmp_path / "mark").touch()
    _look(tmp_path / "mark", versions())
    with pytest.raises(StudyError, match=r"has torch .*, and here it is 0\.1"):
        _look(tmp_path / "mark", {**versions(), "torch": "0.1"})


def test_a_machine_that_joins_later_is_asked_by_its_first_task(tmp_path: Path) -> None:
    """A case is not begun where versions are others than those of the command."""
    (tmp_path / "mark").touch()
    plan, settings = cast(Any, None), cast(Any, None)  # what it would need next
    with pytest.raises(StudyError, match=r"has torch .*, and here it is 0\.1"):
        _run(plan, 0, settings, tmp_path / "mark", {**versions(), "torch": "0.1"}, "")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the study file, and in `one` the study as one process runs it."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "small.toml").write_text(STUDY)
    result = isospike("compare", "small.toml", "--jobs", "1", "--out", "one", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def machines() -> Iterator[tuple[str, int]]:
    """Address of a cluster of two machines, and the second one's raylet."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'isospike[cluster]'")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ray_machines"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    address, raylet = process.stdout.readline().split()
    yield address, int(raylet)
    process.communicate("", timeout=60)


@pytest.mark.slow
def test_two_machines_give_the_records_of_one_process(
    reference: Path, machines: tuple[str, int]
) -> None:
    result = isospike(
        "compare", "small.toml", "--cluster", machines[0], "--out", "two", cwd=reference
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "two/report/index.html"
    ours, theirs = reference / "two" / "records.csv", reference / "one" / "records.csv"
    assert ours.read_bytes() == theirs.read_bytes()


def case_of(study: Path, parent: int) -> str | None:
    """The case that a process of this parent works on now, by the owner in the case's lock."""
    for lock in (study / "work").glob("*.lock"):
        text = lock.read_text()
        if text and not (study / "cases" / lock.stem).exists():
            status = Path(f"/proc/{json.loads(text)['process']}/status")
            if status.exists() and f"PPid:\t{parent}\n" in status.read_text():
                return lock.stem
    return None


@pytest.mark.slow
def test_a_machine_killed_in_mid_study_changes_nothing(
    reference: Path, machines: tuple[str, int]
) -> None:
    """SIGKILL of the second machine's raylet while a case runs there; the first runs it again."""
    address, raylet = machines
    command = [sys.executable, "-m", "compare", "compare", "small.toml", "--cluster", address]
    process = subprocess.Popen(
        [*command, "--out", "killed"],
        cwd=reference, env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    study = reference / "killed"
    deadline = time.monotonic() + 300
    while (case := case_of(study, raylet)) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert case is not None
    os.kill(raylet, signal.SIGKILL)
    output, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert output.splitlines()[-1] == "killed/report/index.html"
    ours, theirs = study / "records.csv", reference / "one" / "records.csv"
    assert ours.read_bytes() == theirs.read_bytes()
    assert f",{case}\n" in ours.read_text()
