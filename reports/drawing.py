"""Figures to files, several at once: drawing is most of the time that a report takes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from reports.figures import Figure, render
from reports.style import save

WORTH = 10
"""Work, as `Drawing.work` counts it, for which starting another process pays."""

START = f"import sys; sys.path.insert(0, {str(Path(__file__).parent.parent)!r}); "
START += "from reports.drawing import main; main()"
"""What a process runs: the reports of this installation, whatever lies in its directory."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """One figure with its rows, to be saved under `key`."""

    key: str
    figure: Figure
    rows: pd.DataFrame

    @property
    def panels(self) -> int:
        """How many panels it has."""
        return int(self.rows["panel"].nunique())

    @property
    def work(self) -> int:
        """By which its time is guessed: its panels, and one for the figure around them."""
        return 1 + self.panels


def draw_all(drawings: Sequence[Drawing], directory: Path) -> None:
    """Write every drawing as KEY.svg, KEY.png and KEY.pdf, on all cores where that is faster."""
    own, *others = _shares(drawings, _processes(drawings))
    started = [(share, _start(share, directory)) for share in others]
    try:
        _draw(own, directory)
        for share, process in started:
            if process is None or process.wait() != 0:
                _draw(share, directory)  # raises in this process what went wrong in the other
    finally:  # nothing writes on after an error or an interruption
        for _, process in started:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def _processes(drawings: Sequence[Drawing]) -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(4, cores, sum(drawing.work for drawing in drawings) // WORTH))


def _shares(drawings: Sequence[Drawing], number: int) -> list[list[Drawing]]:
    """The drawings in `number` shares of about the same work, the longest first."""
    shares: list[list[Drawing]] = [[] for _ in range(number)]
    for drawing in sorted(drawings, key=lambda d: d.work, reverse=True):
        least = min(shares, key=lambda share: sum(other.work for other in share))
        least.append(drawing)
    return shares


def _start(share: list[Drawing], directory: Path) -> subprocess.Popen[bytes] | None:
    """A process that draws the share; None where the drawings cannot be handed over."""
    try:
        work = pickle.dumps((share, directory.resolve()))
    except (pickle.PicklingError, AttributeError, TypeError):
        return None  # a figure of the user's that is no function of a module
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", START], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    try:
        with process.stdin as stream:
            stream.write(work)
    except BrokenPipeError:
        process.wait()
        return None
    return process


def _draw(share: Sequence[Drawing], directory: Path) -> None:
    for drawing in share:
        save(render(drawing.figure, drawing.rows), directory, drawing.key)


def main() -> None:
    """Draw the share that the standard input holds."""
    # What is read was written by the process that started this one, through a pipe of its own.
    share, directory = pickle.load(sys.stdin.buffer)  # nosec B301
    _draw(share, directory)
