"""Any flags: each command works or ends in one clear line with code 2, and leaves nothing half."""

import contextlib
import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare import __main__ as command_line
from compare import commands
from tests.stress.conftest import Tally, fuzz

WORDS_USED = [
    *("compare", "studies", "list", "convert", "report", "data", "status", "lenet", "first-look"),
    *("datasets", "metrics", "mnist-5k", "cifar10", "robust-norm", "bptt,tet", "npz:x", "folder:"),
    *("x.py:f", "os:system", "nothing.here:f", "/dev/null", "/proc/self/mem", ".", "..", "-", "--"),
    *("1", "0", "-1", "1e9", "99999999999999999999", "auto", "cuda", "int8", "θ", "a=1", "="),
    *("../../etc/passwd", "percentile=", "percentile=nan"),
]
WORDS = st.one_of(
    st.sampled_from(WORDS_USED),
    st.sampled_from(["", "a\nb", "\t", "\udcff", "x" * 300]),
    st.text(alphabet=st.characters(exclude_characters="\0"), max_size=6),
)
FLAGS = st.sampled_from(
    ["--dataset", "--architecture", "--methods", "--seeds", "--timesteps", "--data", "--out",
     "--device", "--precision", "--jobs", "--threads", "--method", "--weights", "--option",
     "--help",      "--version", "--no-such-flag", "-h", "-v", "--data=", "--seeds=1"]
)  # fmt: skip
ANY_ARGUMENTS = st.lists(st.one_of(WORDS, FLAGS), max_size=6)
COMMANDS = {
    "compare": ["first-look"], "studies": [], "list": ["rules"], "convert": ["lenet"],
    "report": ["."], "data": ["mnist-5k"], "status": ["."],
}  # fmt: skip
OF_COMPARE = [
    ("--dataset", "mnist-5k"), ("--architecture", "mlp-3"), ("--methods", "robust-norm,bptt"),
    ("--seeds", "3"), ("--timesteps", "9"), ("--out", "out"), ("--device", "cpu"),
    ("--precision", "int8"), ("--jobs", "2"), ("--threads", "1"),
]  # fmt: skip


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command and any words, or what it takes with at most one odd word in it."""
    command = draw(st.sampled_from(["compare", "compare", *sorted(COMMANDS)]))
    if draw(st.integers(0, 2)) == 0:
        return [command, *draw(ANY_ARGUMENTS)]
    words = [command, *COMMANDS[command]]
    if command == "compare":
        for pair in draw(st.lists(st.sampled_from(OF_COMPARE), max_size=4, unique=True)):
            words += pair
    if draw(st.booleans()):
        words[draw(st.integers(0, len(words) - 1))] = draw(WORDS)
    return words


class Ran(Exception):
    """A study that would be run: the flags were accepted."""


def call(arguments: list[str]) -> tuple[int, str, str]:
    """main() in this process, with what it writes; its exit code."""
    out, error = io.StringIO(), io.StringIO()
    before = sys.argv
    sys.argv = ["isospike", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            command_line.main()
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue(), error.getvalue()
    finally:
        sys.argv = before
    raise AssertionError("main returns")


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Studies end where they would begin: what the flags say is what is tried here."""

    def would_run(study: object, directory: Path, *rest: object) -> None:
        raise Ran

    monkeypatch.setattr(commands, "_compare", would_run)
    monkeypatch.setattr("signal.signal", lambda *arguments: None)
    monkeypatch.setenv("ISOSPIKE_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr("compare.data.loading.data_directory", lambda directory: tmp_path / "none")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_any_flags(nothing_runs: Path, tally: Tally) -> None:
    @fuzz(150, 2500)
    @given(command_lines())
    def check(words: list[str]) -> None:
        tally("command lines fuzzed")
        code, out, error = call(words)
        assert "Traceback" not in error + out
        if code != 2:
            tally("command lines fuzzed, used")
        if code == 1:
            assert "a fault of isospike itself: Ran" in error, error
            return
        assert code in (0, 2), error
        if code == 2:
            said = [line for line in error.splitlines() if line.startswith("isospike: ")]
            assert len(said) == 1, error
        assert not list(nothing_runs.rglob("*.partial"))
        assert not list(nothing_runs.rglob("case.json"))

    check()


def test_convert_with_any_option(nothing_runs: Path, tally: Tally) -> None:
    """Options reach the conversion of a real network: it works or says which value it takes."""
    (nothing_runs / "here" / "net.py").write_text(
        "from torch import nn\n"
        "def net(channels, height, width, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, 8), nn.ReLU(),"
        " nn.Linear(8, classes))\n"
    )
    values = st.one_of(
        st.sampled_from(["nan", "inf", "-1", "0", "1", "99.9", "true", "'x'", "[1]", "{a=1}"]),
        st.text(alphabet="0123456789.-e\"'[]{}= ", max_size=5),
    )
    names = st.sampled_from(["percentile", "levels", "steps", "scale", "x", "images", "iterations"])
    methods = st.sampled_from(
        ["data-norm", "robust-norm", "spike-norm", "qcfs", "mse-norm", "calibration", "offset"]
    )

    @fuzz(10, 150)
    @given(methods, st.lists(st.tuples(names, values), max_size=2), st.integers(-1, 3))
    def check(method: str, options: list[tuple[str, str]], steps: int) -> None:
        tally("command lines fuzzed")
        given = [word for name, value in options for word in ("--option", f"{name}={value}")]
        code, _, error = call(
            ["convert", "net.py:net", "--dataset", "mnist-5k", "--method", method,
             "--timesteps", str(steps), "--out", "out", *given]
        )  # fmt: skip
        assert code in (0, 2), error
        assert "Traceback" not in error
        folder = nothing_runs / "here"
        assert not list(folder.glob("*.partial")) + list(folder.glob(".*.partial"))
        if code == 0:
            tally("command lines fuzzed, used")
            json.loads((folder / "out" / "conversion.json").read_text())

    check()
