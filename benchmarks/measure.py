"""Times side by side: every call once per round, so that a busy moment hits all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Clock = Literal["wall", "cpu"]
_CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Timing:
    """Seconds of each round of one call."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """(largest − smallest) / median."""
        return (max(self.seconds) - min(self.seconds)) / self.median


def interleave(
    calls: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    clock: Clock,
    tell: Callable[[str], None],
    wait: Callable[[], object] = lambda: None,
) -> dict[str, Timing]:
    """Time every call `rounds` times in turn, after one round that is not counted.

    wait: until a device has done what it was given.
    """
    now = _CLOCKS[clock]
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = now()
            call()
            wait()
            taken = now() - start
            if number:
                seconds[name].append(taken)
        tell(f"round {number} of {rounds}")
    return {name: Timing(tuple(values)) for name, values in seconds.items()}
