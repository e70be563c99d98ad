"""docs/benchmarks.md from measurements: the tables, and which goals they meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.measure import Timing

DEFAULT = "its default"  # in the name of a peer's mode


@dataclass(frozen=True)
class Goal:
    """value must be at least `bound` ('≥') or at most ('≤'); applies: on this machine."""

    text: str
    relation: str
    bound: float
    value: float
    applies: bool = True

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.relation == "≥" else self.value <= self.bound


def timing_table(timings: Mapping[str, Timing], work: float, unit: str) -> str:
    """One row per call; work / median in `unit`."""
    lines = [f"| | median, s | spread | {unit} |", "|---|---:|---:|---:|"]
    for name, timing in timings.items():
        rate = work / timing.median
        lines.append(f"| {name} | {timing.median:.3f} | {timing.spread:.0%} | {rate:.1f} |")
    return "\n".join(lines)


def goal_table(goals: Sequence[Goal]) -> str:
    lines = ["| goal | bound | measured | |", "|---|---:|---:|---|"]
    for goal in goals:
        met = "met" if goal.met else "not met"
        if not goal.applies:
            met = "no goal here: no matrix units"
        lines.append(f"| {goal.text} | {goal.relation} {goal.bound:g} | {goal.value:.2f} | {met} |")
    return "\n".join(lines)


def sweep_goals(
    ann: Mapping[str, Timing], sweeps: Mapping[str, Timing], timesteps: int, *, matrix_units: bool
) -> list[Goal]:
    """Images·steps per second of a sweep against the ANN's images per second, and the peers."""

    def times(name: str, other: float) -> float:
        return other * timesteps / sweeps[name].median

    fastest = min(timing.median for timing in ann.values())
    sixteen, eight = (1.2, 2.0) if matrix_units else (1.5, 2.5)
    bounds = {
        "int24": (sixteen, fastest, "at its fastest", True),
        "int16": (sixteen, fastest, "at its fastest", True),
        "int8": (eight, fastest, "at its fastest", True),
        "float32": (0.95, ann["ANN, float32"].median, "in float32", True),
    }
    if "ANN, bfloat16" in ann:
        bounds["bfloat16"] = (1.2, ann["ANN, bfloat16"].median, "in bfloat16", matrix_units)
    goals = [
        Goal(f"{name} sweep, × the ANN {which}", "≥", bound, times(f"isospike, {name}", o), applies)
        for name, (bound, o, which, applies) in bounds.items()
    ]
    best = min(t.median for name, t in sweeps.items() if name.startswith("isospike"))
    for name, timing in sweeps.items():
        if not name.startswith("isospike"):
            bound = 8.0 if matrix_units and DEFAULT in name else 4.0
            goals.append(Goal(f"fastest sweep, × {name}", "≥", bound, timing.median / best))
    return goals


def training_goals(
    timings: Mapping[str, Timing], timesteps: int, *, matrix_units: bool
) -> list[Goal]:
    """A step of bptt against T steps of the ANN, and, with matrix units, against the peers."""
    ours = min(t.median for name, t in timings.items() if name.startswith("isospike"))
    ann = min(t.median for name, t in timings.items() if name.startswith("ANN"))
    goals = [Goal("bptt step / (T · the ANN's step)", "≤", 1.05, ours / (timesteps * ann))]
    for name, timing in timings.items():
        if not name.startswith(("isospike", "ANN")):
            gain = timing.median / ours
            goals.append(Goal(f"bptt step, × {name}", "≥", 1.5, gain, matrix_units))
    return goals
