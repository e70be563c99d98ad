"""docs/benchmarks.md from measurements: the tables, and which goals they meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.measure import Timing


@dataclass(frozen=True)
class Goal:
    """value must be at least `bound` ('≥') or at most ('≤')."""

    text: str
    relation: str
    bound: float
    value: float

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
        lines.append(f"| {goal.text} | {goal.relation} {goal.bound:g} | {goal.value:.2f} | {met} |")
    return "\n".join(lines)


def sweep_goals(
    ann: Mapping[str, Timing], sweeps: Mapping[str, Timing], timesteps: int
) -> list[Goal]:
    """Images·steps per second of a sweep against the ANN's images per second, and the peers."""

    def times(name: str, other: float) -> float:
        return other * timesteps / sweeps[name].median

    fastest = min(timing.median for timing in ann.values())
    bounds = {
        "int16": (1.5, fastest, "at its fastest"),
        "int8": (2.5, fastest, "at its fastest"),
        "float32": (0.95, ann["ANN, float32"].median, "in float32"),
        "bfloat16": (1.2, ann["ANN, bfloat16"].median, "in bfloat16"),
    }
    goals = [
        Goal(f"{name} sweep, × the ANN {which}", "≥", bound, times(f"isospike, {name}", other))
        for name, (bound, other, which) in bounds.items()
    ]
    best = min(t.median for name, t in sweeps.items() if name.startswith("isospike"))
    for name, timing in sweeps.items():
        if not name.startswith("isospike"):
            goals.append(Goal(f"fastest sweep, × {name}", "≥", 4.0, timing.median / best))
    return goals


def training_goals(timings: Mapping[str, Timing], timesteps: int) -> list[Goal]:
    """A step of bptt against T steps of the ANN, and the peers."""
    ours = min(t.median for name, t in timings.items() if name.startswith("isospike"))
    ann = min(t.median for name, t in timings.items() if name.startswith("ANN"))
    goals = [Goal("bptt step / (T · the ANN's step)", "≤", 1.05, ours / (timesteps * ann))]
    for name, timing in timings.items():
        if not name.startswith(("isospike", "ANN")):
            goals.append(Goal(f"bptt step, × {name}", "≥", 1.5, timing.median / ours))
    return goals
