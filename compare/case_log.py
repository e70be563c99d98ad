"""The log of one case: what ran, when, and what was out of the ordinary; plain lines with a time.

It lies in work/CASE/log.txt while the case is run, is added to when a run goes on after it was cut
off, and ends as log.txt among the files of the finished case.
"""

from __future__ import annotations

import os
import socket
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compare.faults import CaseFailed, OutOfMemory, is_out_of_memory, plain


@dataclass(frozen=True)
class CaseLog:
    """Appends lines to a file; `None` says nothing."""

    path: Path | None = None

    def say(self, text: str) -> None:
        """One line, with the time in front of it."""
        self._write(" ".join(text.split()))

    def say_lines(self, text: str) -> None:
        """Several lines under one time."""
        self._write(text.rstrip().replace("\n", "\n    "))

    def _write(self, text: str) -> None:
        if self.path is None:
            return
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self.path.open("a", encoding="utf-8", errors="replace") as stream:
            stream.write(f"{now} {text}\n")


@contextmanager
def logged(log: CaseLog, command: str) -> Iterator[None]:
    """Log the beginning, every warning, and how the block ends.

    What is no ValueError, OSError or interrupt becomes one: OutOfMemory, or CaseFailed with the
    traceback in the log, so that one broken case does not end a study.
    """
    log.say(f"begun by process {os.getpid()} on {socket.gethostname()}: {command}")
    try:
        with _warnings_to(log):
            yield
    except (KeyboardInterrupt, SystemExit):
        _say_if_possible(log, "interrupted")
        raise
    except (ValueError, OSError) as error:
        _say_if_possible(log, f"ended: {plain(error)}")
        raise
    except Exception as error:  # a network of the user's may raise anything at all
        if is_out_of_memory(error):
            _say_if_possible(log, f"ended: {plain(error)}")
            raise OutOfMemory(f"out of memory ({plain(error)})") from error
        with suppress(OSError):
            log.say_lines("ended: " + "".join(traceback.format_exception(error)))
        where = f"; see {log.path}" if log.path is not None else ""
        raise CaseFailed(f"{type(error).__name__}: {plain(error)}{where}") from error


def _say_if_possible(log: CaseLog, text: str) -> None:
    """The fault itself matters more than its line in the log (the disk may be full)."""
    with suppress(OSError):
        log.say(text)


@contextmanager
def _warnings_to(log: CaseLog) -> Iterator[None]:
    with warnings.catch_warnings():
        show = warnings.showwarning

        def both(message: Any, category: Any, *place: Any) -> None:
            log.say(f"warning: {message}")
            show(message, category, *place)

        # it is called with the same arguments; mypy wants them spelt out
        warnings.showwarning = both  # type: ignore[assignment]
        yield
