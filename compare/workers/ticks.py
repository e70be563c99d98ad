"""Progress of cases that run elsewhere, by small files in the study's directory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from compare.plan import Plan
from compare.progress import Progress

LOOK_EVERY_S = 0.5
WRITE_EVERY_S = 0.5


class Tick:
    """Writes the work done on one case, and what is being done, now and then."""

    def __init__(self, plan: Plan, index: int) -> None:
        self.file = _file(plan, index)
        self.written = 0.0

    def __call__(self, label: str, done: float) -> None:
        now = time.monotonic()
        if now - self.written > WRITE_EVERY_S:
            self.written = now
            self.file.write_text(f"{done}\n{label}", encoding="utf-8")


def _file(plan: Plan, index: int) -> Path:
    return plan.directory / "work" / f"{plan.names[index]}.tick"


@contextmanager
def following(plan: Plan, missing: Sequence[int], progress: Progress) -> Iterator[None]:
    """Show the work of the missing cases, wherever they run."""
    stop = threading.Event()
    ticks = {index: _file(plan, index) for index in missing}
    for tick in ticks.values():
        tick.unlink(missing_ok=True)

    def look() -> None:
        done, labels = 0.0, []
        for index, tick in ticks.items():
            if plan.store.path(plan.names[index]).exists():
                done += plan.work[index]
            elif (read := _read(tick)) is not None:
                done += min(read[0], plan.work[index])
                labels.append(read[1])
        progress.label = " · ".join(labels)
        progress.set_done(done)

    def follow() -> None:
        while not stop.wait(LOOK_EVERY_S):
            look()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        look()
        for tick in ticks.values():
            tick.unlink(missing_ok=True)


def _read(tick: Path) -> tuple[float, str] | None:
    """None where nothing is there, or where it is being written just now."""
    try:
        amount, _, label = tick.read_text("utf-8").partition("\n")
        return float(amount), label
    except (OSError, ValueError):
        return None
