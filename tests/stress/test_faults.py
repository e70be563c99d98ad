"""Faults for real: each ends in one clear line, and the finished cases stay as they were."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from compare.store import Store
from tests.stress import runs
from tests.stress.conftest import Tally, only_stress

TINY = """
name = "tiny"
datasets = ["{dataset}"]
architectures = ["mlp-16"]
methods = {methods}
seeds = 1
timesteps = 5
calibration_images = 20
train_timesteps = [2]
precision = "float32"
threads = 1
batch_size = {batch_size}
{more}
[ann]
epochs = 1

[direct]
epochs = 1
"""


def write_arrays(path: Path, images: int = 60, side: int = 8) -> str:
    """Random pictures of three classes in an npz file; the name of the data set."""
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (images, side, side), np.uint8)
    np.savez(path, x_train=x, y_train=np.arange(images) % 3, x_test=x, y_test=np.arange(images) % 3)
    return f"npz:{path}"


def write_study(folder: Path, more: str = "", batch_size: int = 20, **arrays: int) -> None:
    dataset = write_arrays(folder / "own.npz", **arrays)
    methods = '["robust-norm", "bptt"]'
    text = TINY.format(dataset=dataset, methods=methods, more=more, batch_size=batch_size)
    (folder / "tiny.toml").write_text(text)


def one_line(result: subprocess.CompletedProcess[str], *codes: int) -> str:
    """The last line of what was said, after checking that it is the only fault that was told.

    codes: exit codes that may be, 2 if none is given.
    """
    assert result.returncode in (codes or (2,)), result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("isospike: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def mounted(kind: list[str], folder: Path) -> Iterator[Path]:
    """A folder with a file system of its own; skips where this process may not mount."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *kind, str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """512 KiB."""
    yield from mounted(["-t", "tmpfs", "-o", "size=512k", "tmpfs"], tmp_path / "disk")


def fill(folder: Path, leave: int) -> Path:
    """A file that takes all but `leave` bytes of a disk."""
    state = os.statvfs(folder)
    ballast = folder / "ballast"
    ballast.write_bytes(b"\0" * max(0, state.f_bavail * state.f_frsize - leave))
    return ballast


@pytest.mark.slow
@pytest.mark.parametrize("free", [16_384, 65_536, 106_496])
def test_a_full_disk(small_disk: Path, tmp_path: Path, free: int, tally: Tally) -> None:
    """It gives out in a checkpoint, in a case or later; with room, the same command goes on."""
    write_study(tmp_path)
    command = ("compare", "tiny.toml", "--out", str(small_disk / "study"), "--jobs", "1")
    ballast = fill(small_disk, free)
    line = one_line(runs.run(tmp_path, *command))
    assert "No space left on device" in line
    assert "finished cases are kept" in line
    store = Store(small_disk / "study")
    finished = [path.name for path in store.cases.glob("[!.]*")]
    assert all(store.finished(name) for name in finished)
    before = {name: (store.path(name) / "case.json").read_bytes() for name in finished}
    ballast.unlink()
    assert runs.run(tmp_path, *command).returncode == 0
    assert all((store.path(n) / "case.json").read_bytes() == text for n, text in before.items())
    tally("faults tried: disk full")


@pytest.mark.slow
def test_a_directory_that_cannot_be_written(tmp_path: Path, tally: Tally) -> None:
    """A read-only mount, since permissions do not bind root."""
    write_study(tmp_path)
    (tmp_path / "disk").mkdir()
    for folder in mounted(["--bind", str(tmp_path / "disk")], tmp_path / "disk"):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        line = one_line(runs.run(tmp_path, "compare", "tiny.toml", "--out", str(folder / "study")))
        assert "Read-only file system" in line
        tally("faults tried: read-only directory")


@pytest.mark.slow
@only_stress
def test_a_directory_without_permission(tmp_path: Path, tally: Tally) -> None:
    """Permission bits bind root as well, once it may no longer override them."""
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if not os.geteuid() else []
    if bound and (not shutil.which("setpriv") or subprocess.call([*bound, "true"])):
        pytest.skip("root cannot give up its rights here")
    write_study(tmp_path)
    command = ("compare", "tiny.toml", "--jobs", "1")
    assert runs.run(tmp_path, *command).returncode == 0
    study = tmp_path / "runs" / "tiny"
    before = runs.files_of(study)
    shutil.rmtree(next(study.glob("cases/*bptt*")))
    (study / "cases").chmod(0o500)
    process = runs.apart(tmp_path, *command, bound=bound)
    _, error = process.communicate()
    (study / "cases").chmod(0o700)
    line = one_line(subprocess.CompletedProcess(command, process.returncode, "", error))
    assert "Permission denied" in line
    assert "finished cases are kept" in line
    assert runs.run(tmp_path, *command).returncode == 0
    assert runs.files_of(study) == before
    tally("faults tried: directory without permission")


@pytest.mark.slow
def test_data_that_are_gone(tmp_path: Path, tally: Tally) -> None:
    """Before the start, and again after some cases are finished."""
    write_study(tmp_path)
    (tmp_path / "own.npz").rename(tmp_path / "elsewhere.npz")
    assert "own.npz" in one_line(runs.run(tmp_path, "compare", "tiny.toml"))
    assert not (tmp_path / "runs").exists()
    (tmp_path / "elsewhere.npz").rename(tmp_path / "own.npz")
    assert runs.run(tmp_path, "compare", "tiny.toml", "--jobs", "1").returncode == 0
    files = runs.files_of(tmp_path / "runs" / "tiny")
    (tmp_path / "own.npz").unlink()
    one_line(runs.run(tmp_path, "compare", "tiny.toml"))
    assert runs.files_of(tmp_path / "runs" / "tiny") == files
    tally("faults tried: data missing")


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_loss_that_is_not_finite(tmp_path: Path, jobs: str, tally: Tally) -> None:
    """The case fails, the others are run; the same command comes to the same line."""
    write_study(tmp_path)
    text = (tmp_path / "tiny.toml").read_text()
    (tmp_path / "tiny.toml").write_text(
        text.replace("[direct]", '[direct]\noptimiser = "sgd"\nlearning_rate = 1e38')
    )
    for _ in range(2):
        line = one_line(runs.run(tmp_path, "compare", "tiny.toml", "--jobs", jobs))
        assert line.startswith("isospike: 1 of 3 cases failed: ")
        assert "lower the learning rate" in line
        store = Store(tmp_path / "runs" / "tiny")
        assert len([path for path in store.cases.iterdir() if store.finished(path.name)]) == 2
    said = runs.run(tmp_path, "status", "runs/tiny").stdout
    assert "1 cases failed" in said
    tally("faults tried: loss not finite")


LIMITED = """
import resource, runpy, sys
from pathlib import Path
import torch, compare.run, compare.execute
import compare.__main__ as command_line, compare.commands as commands
commands.report_on = lambda directories, out: None
words = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
used = int(words["VmSize"].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv.pop(1)) * 2**20,) * 2)
command_line.main()
"""
# Some allocations that fail end the process within a library: torch's or Python's C++ then aborts.
WITHOUT_MEMORY = (2, -signal.SIGABRT, -signal.SIGSEGV)


def run_limited(folder: Path, mebibytes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`isospike` with so much address space above what it takes to be loaded."""
    return subprocess.run(
        [sys.executable, "-P", "-c", LIMITED, str(mebibytes), *arguments],
        cwd=folder, env=runs.environment(), capture_output=True, text=True, timeout=600,
    )  # fmt: skip


@pytest.mark.slow
@only_stress
def test_memory_for_half_a_batch(tmp_path: Path, tally: Tally) -> None:
    """All 3,000 images at once, with less and less memory: done, done by halves, or one line."""
    write_study(tmp_path, batch_size=3000, images=3000)
    path = tmp_path / "tiny.toml"
    text = path.read_text().replace('"mlp-16"', '"mlp-512"').replace('"bptt"', '"data-norm"')
    path.write_text(text.replace("timesteps = 5", "timesteps = 4"))
    halved = False
    for mebibytes in (400, 300, 220, 160, 120, 90, 60, 40):
        out = tmp_path / str(mebibytes)
        arguments = ("compare", "tiny.toml", "--jobs", "1", "--out", str(out))
        result = run_limited(tmp_path, mebibytes, *arguments)
        if result.returncode:
            one_line(result, *WITHOUT_MEMORY)
        store = Store(out)
        assert all(store.finished(case.name) for case in store.cases.glob("[!.]*"))
        logs = [log.read_text() for log in out.glob("*/*/log.txt")]
        halved = halved or any("memory did not suffice for 3000 images" in log for log in logs)
        tally("faults tried: out of memory in a sweep")
    assert halved


@pytest.mark.slow
def test_memory_for_no_training(tmp_path: Path, tally: Tally) -> None:
    """One line whatever the limit; at one of them it is the training that finds no memory."""
    write_study(tmp_path, images=4000)
    path = tmp_path / "tiny.toml"
    text = path.read_text().replace('"mlp-16"', '"mlp-2048"')
    path.write_text(text.replace("epochs = 1", "epochs = 1\nbatch_size = 3000"))
    lines = []
    for mebibytes in range(60, 190, 10):  # how much is loaded before the training differs
        out = ("--out", f"runs/{mebibytes}")
        result = run_limited(tmp_path, mebibytes, "compare", "tiny.toml", "--jobs", "1", *out)
        lines.append(one_line(result, *WITHOUT_MEMORY))
        if "in training" in lines[-1]:
            break
    assert "out of memory in training with batches of 3000 images" in lines[-1]
    assert "set a smaller batch_size under [ann]" in lines[-1]
    tally("faults tried: out of memory in training")


@pytest.mark.slow
def test_two_processes_on_one_study(tmp_path: Path, tally: Tally) -> None:
    """Both end well, no case is run twice, and the records are those of one process."""
    runs.write(tmp_path / "both", 1)
    runs.write(tmp_path / "alone", 1)
    assert runs.run(tmp_path / "alone", "compare", "small.toml", "--jobs", "2").returncode == 0
    both = [runs.apart(tmp_path / "both", "compare", "small.toml", "--jobs", "1") for _ in range(2)]
    for process in both:
        _, error = process.communicate(timeout=600)
        assert process.returncode == 0, error
    study = tmp_path / "both" / "runs" / "small"
    assert runs.files_of(study) == runs.files_of(tmp_path / "alone" / "runs" / "small")
    logs = [path.read_text() for path in study.glob("cases/*/log.txt")]
    assert len(logs) == runs.CASES
    assert all(log.count("begun by process") == 1 for log in logs)
    assert (study / "report" / "index.html").is_file()
    tally("faults tried: two processes on one study")
