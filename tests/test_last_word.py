"""A process that is ended from outside, or by a library, still says one line; so do warnings."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stress.test_faults import write_study

ROOT = Path(__file__).parent.parent
BLOCK = """
import os, signal, sys
from compare.last_word import last_word
with last_word("gone;\\n go on"):
    {what}
"""


def process(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.kill(0, signal.SIGKILL)", -signal.SIGKILL),  # the whole group
        ("os.abort()", -signal.SIGABRT),
        ("os._exit(3)", 3),
    ],
)
def test_an_end_without_a_word(what: str, code: int) -> None:
    arguments = ["-c", "import os; os.setpgid(0, 0)" + BLOCK.format(what=what)]
    ended = process(*arguments)
    _, error = ended.communicate(timeout=60)
    assert (ended.returncode, error) == (code, "isospike: gone; go on\n")


@pytest.mark.parametrize(
    ("what", "code", "environment"),
    [
        ("pass", 0, {}),
        ("sys.exit(2)", 2, {}),
        ("os.abort()", -signal.SIGABRT, {"PATH": ""}),  # no shell to wait
        ("os.abort()", -signal.SIGABRT, {"WORLD_SIZE": "2", "RANK": "0"}),  # torchrun says it
    ],
)
def test_an_end_that_needs_none(what: str, code: int, environment: dict[str, str]) -> None:
    ended = process("-c", BLOCK.format(what=what), **environment)
    _, error = ended.communicate(timeout=60)
    assert (ended.returncode, error) == (code, "")


def test_a_study_that_is_killed(tmp_path: Path) -> None:
    write_study(tmp_path)
    study, out = str(tmp_path / "tiny.toml"), str(tmp_path / "out")
    killed = process("-m", "compare", "compare", study, "--out", out)
    assert killed.stderr is not None
    assert killed.stderr.readline().startswith("tiny: ")
    killed.kill()
    error = killed.communicate(timeout=60)[1].splitlines()
    assert error[-1].startswith("isospike: ended before it could say why")
    assert error[-1].endswith(f"the same command goes on: isospike compare {study} --out {out}")


def test_a_warning_is_one_line_without_its_place() -> None:
    text = "import warnings; from compare.warning_lines import in_one_line as one; "
    text += "warnings.formatwarning = one; warnings.warn('two\\n lines')"
    warned = process("-c", text)
    assert (warned.communicate(timeout=60)[1], warned.returncode) == ("warning: two lines\n", 0)
