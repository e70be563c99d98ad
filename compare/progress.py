"""How far a study is: a bar with time left on a terminal, plain lines elsewhere, and progress.json.

Work is counted in multiplications, so that cases of unlike size share one scale.
"""

from __future__ import annotations

import json
import os
import socket
import time
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from compare.store import replace_text

LINE_EVERY_S = 10.0
FILE_EVERY_S = 1.0
ESTIMATE_AFTER_S = 10.0
ESTIMATE_AFTER = 0.02  # of the work: before, its rate is not known,
ESTIMATE_AT_LATEST_S = 120.0  # but of days of work it is
REMEMBERED = 400  # moments over the whole time, for the rate of its later half
MOST_UNFINISHED = 0.99  # the largest share that is shown before the last case is done


@dataclass
class Progress:
    """Sums work done; shows it at most a few times per second.

    total: work of all cases that are to be run. file: progress.json, or None.
    failures: why cases could not be run, by name.
    state: 'running', then 'finished', 'failed' (some cases), 'interrupted' or 'stopped'.
    """

    total: float
    cases: int
    console: Console
    file: Path | None = None
    done: float = 0.0
    finished: int = 0
    label: str = ""
    failures: dict[str, str] = field(default_factory=dict)
    state: str = "running"
    started: float = field(default_factory=time.monotonic)
    _past: list[tuple[float, float]] = field(default_factory=list)  # moments, and work done then
    _shown: float = 0.0
    _filed: float = 0.0
    _live: Live | None = None

    def __enter__(self) -> Progress:
        if self.console.is_terminal and self.cases:
            self._live = Live(self._bar(), console=self.console, transient=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if kind is None:
            self.state = "failed" if self.failures else "finished"
        else:
            self.state = "interrupted" if kind is KeyboardInterrupt else "stopped"
            if not isinstance(error, KeyboardInterrupt):
                self.failures = {**self.failures, "": str(error)}
        self._write(force=True)
        if self._live is not None:
            self._live.stop()

    def begin(self, label: str) -> None:
        """Name what is being run now."""
        self.label = label
        self._show(force=self._live is None)

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def advance(self, work: float) -> None:
        """Add work done."""
        self.set_done(self.done + work)

    def set_done(self, work: float) -> None:
        """Set the work done so far."""
        self.done = min(work, self.total)
        self._remember()
        self._show()

    def finish_case(self) -> None:
        self.finished += 1
        self._show(force=False)

    @property
    def share(self) -> float:
        """Of the work, as far as it is known beforehand; 1 only once every case is done."""
        if self.finished >= self.cases:
            return 1.0
        return min(self.done / self.total, MOST_UNFINISHED) if self.total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the rate of the later half of the time so far, since what a case goes on from is told
        at once; None while that is not known, and where more work is left than was foreseen."""
        now = time.monotonic()
        elapsed = now - self.started
        if self.finished >= self.cases:
            return 0.0
        least = ESTIMATE_AFTER * self.total if elapsed < ESTIMATE_AT_LATEST_S else 0.0
        if elapsed < ESTIMATE_AFTER_S or not least <= self.done < self.total:
            return None
        moment, before = self._halfway(now)
        gained = self.done - before
        return (now - moment) * (self.total - self.done) / gained if gained > 0 else None

    def _halfway(self, now: float) -> tuple[float, float]:
        """The last moment of the earlier half that is remembered, or else the first of all, and
        the work done then: at the first moment a case that goes on tells all that it has."""
        half = (self.started + now) / 2
        index = bisect_right(self._past, (half, self.total))
        return self._past[max(index - 1, 0)] if self._past else (self.started, 0.0)

    def _remember(self) -> None:
        """Some hundred moments, however long the study: none of the earlier half but the last."""
        now = time.monotonic()
        if self._past and now - self._past[-1][0] < (now - self.started) / REMEMBERED:
            return
        keep = bisect_right(self._past, ((self.started + now) / 2, self.total)) - 1
        self._past = [*self._past[max(keep, 0) :], (now, self.done)]

    def line(self) -> str:
        """The state in one line."""
        left = self.seconds_left
        rest = f", {duration(left)} left" if left is not None else ""
        now = f" · {self.label}" if self.label else ""
        return f"[{self.share:4.0%}] {self.finished}/{self.cases} cases done{rest}{now}"

    def _show(self, force: bool = False) -> None:
        now = time.monotonic()
        self._write()
        if self._live is not None:
            if now - self._shown > 0.2:
                self._shown = now
                self._live.update(self._bar(), refresh=True)
        elif force or now - self._shown > LINE_EVERY_S:
            self._shown = now
            self.say(self.line())

    def _bar(self) -> Table:
        left = self.seconds_left
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(1.0, self.share, width=30)
        state = f"{self.finished}/{self.cases} cases"
        rest = f"{duration(left)} left" if left is not None else "estimating time left"
        grid.add_row(bar, f"{self.share:.0%}", state, rest, Text(self.label))
        return grid

    def _write(self, force: bool = False) -> None:
        now = time.monotonic()
        if self.file is None or not (force or now - self._filed > FILE_EVERY_S):
            return
        self._filed = now
        left = self.seconds_left
        content = {
            "state": self.state,
            "cases": self.cases,
            "finished": self.finished,
            "share": self.share,
            "seconds_left": None if left is None else round(left, 1),
            "elapsed_s": round(now - self.started, 1),
            "current": self.label if self.state == "running" else "",
            "failures": self.failures,
            "process": os.getpid(),
            "host": socket.gethostname(),
            "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        with suppress(OSError):  # not a result: a full disk is told by what must be written
            replace_text(self.file, json.dumps(content) + "\n", durable=False)


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
