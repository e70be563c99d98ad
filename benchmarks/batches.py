"""Sweeps once more, everything in the batch that suits it best."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.measure import Timing
from benchmarks.sections import Section, Stopwatch, of_sweeps
from benchmarks.workloads import Call, Workload, every_sweep

BATCHES = (8, 16, 32, 64)
IMAGES = 64  # that all times are given for


@dataclass(frozen=True)
class _Best:
    """A call on `batch` images, the number that took the least time per image."""

    call: Call
    batch: int

    def for_all(self, timing: Timing) -> Timing:
        """What IMAGES images take."""
        return Timing(tuple(IMAGES / self.batch * seconds for seconds in timing.seconds))


def best_batches(work: Workload, watch: Stopwatch) -> Section:
    """The ANN and every sweep, each in the best of BATCHES: the goals of a sweep hold there too.

    The best one is found with a quarter of the steps, in one round.
    """
    best = _choose(work, watch)
    calls = {name: found.call for name, found in best.items()}
    timings = {
        name: best[name].for_all(timing)
        for name, timing in watch.time(calls, f"best batches of {work.architecture}").items()
    }
    labels = {name: f"{name}, batches of {found.batch}" for name, found in best.items()}
    what = f"{work.architecture}, best batches"
    return of_sweeps(what, timings, replace(work, batch=IMAGES), labels)


def _choose(work: Workload, watch: Stopwatch) -> dict[str, _Best]:
    quick = replace(work, timesteps=max(1, work.timesteps // 4))
    once = replace(watch, rounds=1)
    seconds: dict[str, dict[int, float]] = {}
    for batch in BATCHES:
        timings = once.time(every_sweep(replace(quick, batch=batch), batch), f"batches of {batch}")
        for name, timing in timings.items():
            seconds.setdefault(name, {})[batch] = timing.median / batch
    chosen = {name: min(taken, key=taken.__getitem__) for name, taken in seconds.items()}
    best: dict[str, _Best] = {}
    for batch in sorted(set(chosen.values())):
        calls = every_sweep(replace(work, batch=batch), batch)
        best |= {name: _Best(calls[name], batch) for name in chosen if chosen[name] == batch}
    return {name: best[name] for name in chosen}
