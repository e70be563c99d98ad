"""`make audit` says in one line that nothing was audited, and never passes then."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "audit.py"
UNKNOWN = {"name": "one", "skip_reason": "not found"}
GOOD = {"name": "two", "version": "1.0", "vulns": []}
WEAK = {"name": "three", "version": "2.0", "vulns": [{"id": "A-1"}, {"id": "A-2"}]}
NOTHING = "make audit: nothing was audited: "


def audit(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """With `program` in place of pip-audit."""
    (folder / "pip_audit").mkdir()
    (folder / "pip_audit" / "__init__.py").touch()
    (folder / "pip_audit" / "__main__.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, SCRIPT]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def finds(*packages: object) -> str:
    return f"print({json.dumps({'dependencies': packages})!r})"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise ConnectionError('no route')", "package index): ConnectionError: no route"),
        ("raise SystemExit(3)", "package index): exit code 3"),
        (finds(UNKNOWN, UNKNOWN), "the package index in use knows none of the 2 packages"),
    ],
)
def test_nothing_audited_is_one_line_and_a_failure(program: str, said: str, tmp_path: Path) -> None:
    result = audit(tmp_path, program)
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(NOTHING)
    assert said in line


def test_what_is_found_is_listed(tmp_path: Path) -> None:
    result = audit(tmp_path, finds(UNKNOWN, GOOD, WEAK))
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == "three 2.0: A-1, A-2"
    assert result.stderr == "make audit: 1 of 2 packages have known weaknesses\n"


def test_no_weaknesses_are_said_with_what_was_left_out(tmp_path: Path) -> None:
    result = audit(tmp_path, finds(UNKNOWN, GOOD))
    assert result.returncode == 0
    assert result.stdout.splitlines() == [
        "unknown to the package index, not audited: one",
        "no known weaknesses in 1 packages",
    ]
