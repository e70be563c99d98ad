"""The log of a case, and how a fault of any kind becomes one line."""

import re
import warnings
from pathlib import Path

import pytest

from compare.case_log import CaseLog, logged
from compare.faults import CaseFailed, OutOfMemory

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 (.*)")


def said(path: Path) -> list[str]:
    """The lines of a log without their times."""
    found = [LINE.fullmatch(line) for line in path.read_text().splitlines()]
    return [match[1] for match in found if match]


def run(log: CaseLog, error: BaseException | None) -> None:
    with logged(log, "isospike compare"):
        log.say("two\nlines")
        if error is not None:
            raise error


def test_a_log_is_added_to(tmp_path: Path) -> None:
    log = CaseLog(tmp_path / "log.txt")
    with pytest.raises(KeyboardInterrupt):
        run(log, KeyboardInterrupt())
    run(log, None)
    lines = said(tmp_path / "log.txt")
    assert [line.split(" by ")[0] for line in lines] == [
        "begun", "two lines", "interrupted", "begun", "two lines",
    ]  # fmt: skip
    assert lines[0].endswith(": isospike compare")


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (ValueError("bad\noption"), ValueError, "ended: bad option"),
        (OSError(28, "No space left on device"), OSError, "No space left"),
        (MemoryError(), OutOfMemory, "ended: MemoryError"),
        (RuntimeError("CUDA out of memory. Tried"), OutOfMemory, "CUDA out of memory"),
        (ZeroDivisionError("by zero"), CaseFailed, "ended: Traceback"),
    ],
)
def test_how_a_case_ended(
    tmp_path: Path, error: Exception, raised: type[Exception], words: str
) -> None:
    log = CaseLog(tmp_path / "log.txt")
    with pytest.raises(raised) as caught:
        run(log, error)
    assert words in said(tmp_path / "log.txt")[-1]
    if raised is CaseFailed:
        assert str(caught.value) == f"ZeroDivisionError: by zero; see {tmp_path / 'log.txt'}"
        assert "in run" in (tmp_path / "log.txt").read_text()  # the traceback is there


def test_warnings_are_logged_and_still_shown(tmp_path: Path) -> None:
    log = CaseLog(tmp_path / "log.txt")
    with pytest.warns(UserWarning, match="odd data"), logged(log, "x"):
        warnings.warn("odd data", UserWarning, stacklevel=1)
    assert "warning: odd data" in said(tmp_path / "log.txt")


def test_a_log_that_cannot_be_written_hides_no_fault(tmp_path: Path) -> None:
    def fault() -> None:
        with logged(CaseLog(tmp_path / "log.txt"), "x"):
            (tmp_path / "log.txt").unlink()
            (tmp_path / "log.txt").mkdir()
            raise ValueError("the fault")

    with pytest.raises(ValueError, match="the fault"):
        fault()


def test_no_file_no_log() -> None:
    run(CaseLog(), None)
