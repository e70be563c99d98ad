"""The command line: bad input in one line and code 2, lists without torch."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from compare import __main__ as entry
from compare.spinning import rest_soon
from tests.test_compare import isospike

RECEIPT = Path(__file__).resolve().parent.parent / "docs" / "receipts" / "timesteps-mnist5k"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "--dataset", "cifr10"], ["'cifr10'", "did you mean 'cifar10'?", "mnist-5k"]),
        (["compare", "--methods", "robust-nrm"], ["'robust-nrm'", "'robust-norm'", "bptt"]),
        (["compare", "--architecture", "lenett"], ["'lenett'", "did you mean 'lenet'?"]),
        (["compare", "--architecture", ""], ["unknown architecture ''", "lenet"]),
        (["compare", "--dataset", ""], ["unknown dataset ''", "mnist-5k"]),
        (["compare", "no-such-study"], ["no-such-study", "first-look"]),
        (["compare", "--timesteps", "0"], ["--timesteps", "1", "0"]),
        (["compare", "--seeds", "x"], ["--seeds", "integer", "x"]),
        (["compare", "--device", "tpu"], ["'tpu'", "auto, cpu, cuda"]),
        (["compare", "--precision", "float8"], ["float8", "bfloat16"]),
        (["compare", "--dataset", "cifar10", "--data", "."], ["cifar10", "missing"]),
        (["compare", "--architecture", "missing.py:net"], ["missing.py", "does not exist"]),
        (["list", "nothing"], ["nothing", "datasets"]),
        (["data", "cifr10"], ["'cifr10'", "cifar10"]),
        (["report", "nowhere"], ["nowhere"]),
        (["compare", "--methods", ","], ["unknown method ''", "robust-norm"]),
        (["compare", "--dataset", "folder:nowhere"], ["folder:nowhere: nowhere does not exist"]),
        (["convert", "lenet", "--dataset", "mnist-5k"], ["weights"]),
        (["convert", "lenet", "--dataset", "mnist-5k", "--method", "x"], ["'x'", "spike-norm"]),
        (
            ["convert", "net.py:net", "--dataset", "mnist-5k", "--timesteps", "1000000000"],
            ["--timesteps", "100000"],
        ),
        (["frobnicate"], ["frobnicate"]),
        (["compare", "--out", ""], ["--out", "a path is needed", "empty"]),
        (["report", ""], ["DIR", "a path is needed", "empty"]),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    arguments: list[str], words: list[str], tmp_path: Path
) -> None:
    result = isospike(*arguments, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("isospike: ")
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr
    assert not list(tmp_path.rglob("case.json"))


def test_an_unknown_key_in_a_study_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("tmesteps = 3\n")
    result = isospike("compare", "mine.toml", cwd=tmp_path)
    assert result.returncode == 2
    assert "unknown key 'tmesteps'; did you mean 'timesteps'?" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_more_images_than_the_data_set_has(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("train_images = 4000\n")
    result = isospike("compare", "mine.toml", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == ("isospike: train_images must be 1 to 3500 for mnist-5k, got 4000\n")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", ["compare", "report", "convert"])
def test_a_file_is_no_place_for_results(command: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    arguments = {
        "compare": ["first-look"],
        "report": ["taken"],
        "convert": ["lenet", "--dataset", "mnist-5k"],
    }[command]
    result = isospike(command, *arguments, "--out", "taken", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == "isospike: --out must be a directory, got the file taken\n"
    assert (tmp_path / "taken").read_text() == "mine"


NET = """
from torch import nn
def {name}():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 4), nn.ReLU(), nn.Linear(4, 10))
"""


@pytest.mark.slow
def test_conversions_of_two_networks_lie_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET.format(name="one") + NET.format(name="two"))
    for name in ("one", "two"):
        result = isospike(
            "convert", f"net.py:{name}", "--dataset", "mnist-5k", "--method", "data-norm",
            "--timesteps", "2", cwd=tmp_path,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        directory = tmp_path / result.stdout.splitlines()[-1]
        assert directory == tmp_path / "runs" / f"convert-net-{name}-mnist-5k-data-norm"
        content = json.loads((directory / "conversion.json").read_text())
        assert content["model"] == f"net.py:{name}"
        assert list(content["layers"]) == list(content["thresholds"])
        assert list(content["layers"].values()) == content["audit"]["replaced"] == ["2"]
        modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}
        assert len(set(modes.values())) == 1, modes


TWICE = ["--option", "percentile=99", "--option", "percentile=98"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["report", str(RECEIPT), "--out", "/proc/xx"], "--out /proc/xx cannot be written: No"),
        (
            ["convert", "lenet", "--dataset", "mnist-5k", "--method", "robust-norm", *TWICE],
            "--option percentile is given twice, the second time as '98'",
        ),
        (["report", str(RECEIPT), f"{RECEIPT}/"], "a report takes every study once, got"),
    ],
)
def test_what_cannot_be_done_is_one_line_of_ours(
    command: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sys, "argv", ["isospike", *command])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    signal.signal(signal.SIGTERM, handler)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"isospike: {words}")
    assert "Errno" not in said
    assert said.count("\n") == 1


def test_what_the_system_says_names_the_file_without_a_number() -> None:
    assert entry._reason(FileNotFoundError(2, "No such file", "a/b")) == "a/b: No such file"
    assert entry._reason(OSError(28, "No space left")) == "No space left"
    assert entry._reason(OSError("of another kind")) == "of another kind"


@pytest.mark.parametrize(
    ("command", "words"),
    [("compare", "goes on from where it was"), ("convert", "begins anew"), ("report", "begins")],
)
def test_an_interrupted_command_says_what_the_same_one_would_do(
    command: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**settings: object) -> int:
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(entry, "app", interrupted)
    monkeypatch.setattr(sys, "argv", ["isospike", command, "x"])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    signal.signal(signal.SIGTERM, handler)
    assert ended.value.code == 130
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["studies"], ["list", "conversions"], ["data"]])
def test_a_list_that_nobody_reads_on_is_no_fault(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        result = subprocess.run(
            [sys.executable, "-m", "compare", *arguments],
            stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")


def test_letters_that_a_terminal_does_not_have_are_replaced() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "compare", "list", "surrogates"], capture_output=True, timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert b"?" in result.stdout


@pytest.mark.parametrize(
    "arguments", [["--help"], ["compare", "--help"], ["studies"], ["list", "conversions"], ["data"]]
)
def test_help_and_lists_load_no_torch(arguments: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['isospike', *{arguments!r}]\n"
        "from compare.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as error:\n    assert not error.code, error.code\n"
        "assert 'torch' not in sys.modules, 'torch was loaded'\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


def test_idle_threads_sleep_soon_unless_the_user_says_otherwise() -> None:
    for given, spins in (
        ({}, "10000"),
        ({"GOMP_SPINCOUNT": "5"}, "5"),
        ({"OMP_WAIT_POLICY": "active"}, None),
    ):
        environment = dict(given)
        rest_soon(environment)
        assert environment.get("GOMP_SPINCOUNT") == spins


def test_they_are_told_before_torch_is_loaded() -> None:
    code = (
        "import os, sys; from compare.__main__ import main; sys.argv = ['isospike', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules; print(os.environ['GOMP_SPINCOUNT'])"
    )
    clean = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "10000", done.stderr


@pytest.mark.parametrize("broken", [False, True])
def test_failed_cases_are_said_before_the_report(
    broken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """And their reasons stand also where the report cannot be built."""
    from compare import commands, execute

    plan = SimpleNamespace(names=["ann", "bptt"])
    monkeypatch.setattr(execute, "run_study", lambda *given: (plan, {"bptt": "a\nreason"}))

    def report(directories: list[Path], out: Path | None) -> None:
        print("the report", flush=True)
        if broken:
            raise ValueError("of the report")

    monkeypatch.setattr(commands, "report_on", report)
    monkeypatch.setattr(sys, "argv", ["isospike", "compare", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("isospike: ")]
    assert said[0] == "isospike: 1 of 2 cases failed: bptt: a reason"
    assert said[1:] == (["isospike: of the report"] if broken else [])


def test_a_report_that_a_full_disk_stops_says_that_cases_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from compare import commands, execute

    def full(directories: list[Path], out: Path | None) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "out"
    monkeypatch.setattr(execute, "run_study", lambda *given: (SimpleNamespace(names=["ann"]), {}))
    monkeypatch.setattr(commands, "report_on", full)
    monkeypatch.setattr(sys, "argv", ["isospike", "compare", "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"isospike: {out}: the report cannot be written: No space left on device; all cases are "
        f"kept: once this is mended, isospike report {out} makes it"
    )
