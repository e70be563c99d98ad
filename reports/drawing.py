"""Figures to files, several at once: drawing is most of the time that a report takes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from types import TracebackType
from typing import Self

import pandas as pd

from reports.figures import Figure, render
from reports.style import save
from reports.words import lowered

MOST_PROCESSES = 4

START = f"import sys; sys.path.insert(0, {str(Path(__file__).parent.parent)!r}); "
START += "from reports.drawing import main; main()"
"""What a process runs: the reports of this installation, whatever lies in its directory."""

DRAWN, FAILED = b"1", b"0"
"""What a process answers to a drawing."""


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


class Artists:
    """Writes KEY.svg, KEY.png and KEY.pdf of every drawing that it is given, on all cores.

    The other processes start at once and draw while this one still prepares; `finish` draws what
    is left. Whoever is free takes the next drawing; the files are the same whoever draws.
    """

    def __init__(self, directory: Path, processes: int | None = None) -> None:
        self.directory = directory.resolve()
        self.waiting: Queue[Drawing | None] = Queue()
        self.returned: list[Drawing] = []  # to be drawn here, for the error or for want of others
        self.failed: dict[str, str] = {}  # key of a figure that could not be drawn -> the reason
        others = (_cores() if processes is None else processes) - 1
        self.processes = [_start() for _ in range(others)]
        self.threads = [Thread(target=self._serve, args=(each,)) for each in self.processes]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing writes on after an error or an interruption."""
        self._left()
        for process in self.processes:
            process.kill()
        self._dismiss()
        for process in self.processes:
            process.communicate()

    def add(self, drawing: Drawing) -> None:
        """Draw it as soon as a process is free."""
        self.waiting.put(drawing)

    def finish(self) -> None:
        """Draw with the others until every figure lies there whole, or is in `failed`."""
        while True:
            try:
                drawing = self.waiting.get_nowait()
            except Empty:
                break
            if drawing is not None:
                self._try(drawing)
        self._dismiss()
        for drawing in [*self.returned, *self._left()]:
            self._try(drawing)

    def _try(self, drawing: Drawing) -> None:
        """One figure that cannot be drawn leaves the others as they are."""
        try:
            _draw(drawing, self.directory)
        except Exception as error:  # matplotlib, or a figure of the user's: anything at all
            self.failed[drawing.key] = reason_of(drawing.figure, error)
            for path in self.directory.glob(f"{drawing.key}.*"):
                path.unlink()

    def _serve(self, process: subprocess.Popen[bytes]) -> None:
        """Hand a process one drawing after another, until there is None or it dies."""
        while (drawing := self.waiting.get()) is not None:
            answer = _ask(process, drawing, self.directory)
            if answer != DRAWN:
                self.returned.append(drawing)
            if not answer:
                return

    def _dismiss(self) -> None:
        """Let the threads end once they have their answers."""
        for _ in self.threads:
            self.waiting.put(None)
        for thread in self.threads:
            thread.join()

    def _left(self) -> list[Drawing]:
        """What nobody has taken; the queue is empty afterwards."""
        left = []
        while not self.waiting.empty():
            drawing = self.waiting.get()
            if drawing is not None:
                left.append(drawing)
        return left


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(MOST_PROCESSES, cores)


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-c", START],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _ask(process: subprocess.Popen[bytes], drawing: Drawing, directory: Path) -> bytes:
    """DRAWN, FAILED, or nothing where the process is dead."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        work = pickle.dumps((drawing, directory))
    except (pickle.PicklingError, AttributeError, TypeError):
        return FAILED  # a figure of the user's that is no function of a module
    try:
        process.stdin.write(work)
        process.stdin.flush()
    except BrokenPipeError:
        return b""
    return process.stdout.read(1)


def reason_of(figure: Figure, error: Exception) -> str:
    """Why a figure is not there, in one line that is also given as a warning."""
    words = " ".join(f"{type(error).__name__}: {error}".split())
    said = f"{lowered(figure.title)} ({words})"
    warnings.warn(f"a figure cannot be drawn: {said}", stacklevel=2)
    return said


def _draw(drawing: Drawing, directory: Path) -> None:
    save(render(drawing.figure, drawing.rows), directory, drawing.key)


def main() -> None:
    """Draw what comes through the standard input; one byte of answer each."""
    import matplotlib.figure  # noqa: F401  (while the other process still prepares)

    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    while True:
        try:
            # What is read was written by the process that started this one, through its own pipe.
            drawing, directory = pickle.load(sys.stdin.buffer)  # nosec B301
        except EOFError:
            return
        try:
            _draw(drawing, directory)
            answer = DRAWN
        except Exception:  # the other process draws it again and says what is wrong
            answer = FAILED
        answers.write(answer)
        answers.flush()
