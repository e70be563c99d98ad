"""Sweeps once more, everything in the batch that suits it best."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks import page, workloads
from benchmarks.measure import Timing
from benchmarks.sections import Section, Stopwatch, has_matrix_units
from benchmarks.workloads import Call, Workload

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
    ann = {name: t for name, t in timings.items() if name.startswith("ANN")}
    rest = {name: t for name, t in timings.items() if name not in ann}
    units = has_matrix_units(work.device)
    goals = page.sweep_goals(ann, rest, work.timesteps, matrix_units=units)
    where = f"{work.architecture}, best batches"
    named = {name: f"{name}, batches of {found.batch}" for name, found in best.items()}
    text = "\n\n".join(
        [
            f"## {where}: forward pass of the ANN, {IMAGES} images",
            page.timing_table({named[n]: t for n, t in ann.items()}, IMAGES, "images/s"),
            f"## {where}: sweep, {IMAGES} images, T = {work.timesteps}",
            page.timing_table(
                {named[n]: t for n, t in rest.items()}, IMAGES * work.timesteps, "image-steps/s"
            ),
        ]
    )
    return Section(text, [replace(goal, text=f"{where}: {goal.text}") for goal in goals])


def _choose(work: Workload, watch: Stopwatch) -> dict[str, _Best]:
    quick = replace(work, timesteps=max(1, work.timesteps // 4))
    once = replace(watch, rounds=1)
    seconds: dict[str, dict[int, float]] = {}
    for batch in BATCHES:
        timings = once.time(_calls(replace(quick, batch=batch)), f"batches of {batch}")
        for name, timing in timings.items():
            seconds.setdefault(name, {})[batch] = timing.median / batch
    chosen = {name: min(taken, key=taken.__getitem__) for name, taken in seconds.items()}
    best: dict[str, _Best] = {}
    for batch in sorted(set(chosen.values())):
        calls = _calls(replace(work, batch=batch))
        best |= {name: _Best(calls[name], batch) for name in chosen if chosen[name] == batch}
    return {name: best[name] for name in chosen}


def _calls(work: Workload) -> dict[str, Call]:
    return {
        **workloads.ann_calls(work),
        **workloads.sweep_calls(work, work.batch),
        **workloads.peer_sweep_calls(work),
    }
