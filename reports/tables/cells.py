"""Typed cells: value, interval and n of everything that a table shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from reports import numbers
from reports.analysis import Analysis
from reports.curves import Curve
from reports.intervals import RANGE, Interval, spread
from reports.iso import Estimate, Pace, Value
from reports.metrics import NotReached, best_timesteps
from reports.significance import Comparison
from reports.words import LARGEST_T


@dataclass(frozen=True)
class Cell:
    """One number or name: how it reads, and what a program needs of it.

    value: for sorting and CSV, None for a name or a missing value; low, high: 95 % interval;
    n: what the interval rests on, in words; strong: highest in its group by a test;
    deviation: standard deviation over seeds, where there are several.
    """

    text: str
    value: float | str | None = None
    low: float | None = None
    high: float | None = None
    interval: str = ""
    n: str = ""
    strong: bool = False
    deviation: float | None = None

    @property
    def full(self) -> str:
        """Text, interval and n in one line."""
        parts = [self.text, self.interval, f"({self.n})" if self.n else ""]
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Column:
    """Heading, unit, and whether a higher number is better (None: neither).

    raw: the unit of the raw numbers, where cells say theirs as people read it (11 min 32 s).
    """

    name: str
    unit: str = ""
    higher_is_better: bool | None = None
    raw: str = ""

    @property
    def heading(self) -> str:
        """Name, unit and an arrow towards the better."""
        arrow = {True: " ↑", False: " ↓", None: ""}[self.higher_is_better]
        return f"{self.name}{f' ({self.unit})' if self.unit else ''}{arrow}"


@dataclass(frozen=True)
class Table:
    """A table: rows of cells as long as its columns. `notes` say how to read it."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


MISSING = Cell("–")

ALIKE = "in each"
"""In place of a range of seeds that print the same."""

TRAINED = "T(1 point) up to training T"
"""Heading of trained-timesteps at δ = 1 point."""

INTERVAL_NOTE = (
    "In brackets: 95 % interval. Of accuracies: t over seeds, for one seed Wilson over the test "
    "images. Of SNN − ANN: paired t over seeds, for one seed Agresti & Min 2005 over the test "
    "images. Of steps and ratios: bootstrap over the test images, and over seeds where there are "
    "several; ∞: not reached. Of counts, times and energies: t over seeds; of two or three seeds, "
    "without brackets, the least to the largest; none for one seed."
)


def shown_at_end(curves: Iterable[Curve]) -> tuple[str, ...]:
    """At which T conversions are shown, where there are any."""
    return (LARGEST_T,) if any(curve.arm == "converted" for curve in curves) else ()


def name_cell(text: str) -> Cell:
    """A cell that holds a name."""
    return Cell(text, text)


def number(value: float, form: Callable[[float], str]) -> Cell:
    """A cell that holds a number that is exact."""
    return Cell(form(value), float(value))


def p_cell(p: float) -> Cell:
    """A p-value; NaN, for no test, is missing."""
    return MISSING if math.isnan(p) else number(p, numbers.p_value)


def accuracy_cell(curve: Curve, timestep: int, strong: bool = False) -> Cell:
    """Accuracy at T in percent."""
    interval = curve.accuracy_interval(timestep)
    low, high = max(0.0, interval.low), min(1.0, interval.high)
    ends = f"[{numbers.percent(low)}, {numbers.percent(high)}]"
    several = len(curve.seeds) > 1
    n = seeds_of(curve) if several else f"1 seed, {curve.images:,} images"
    text = numbers.percent(interval.estimate)
    spread = _times(100, interval.deviation)
    return Cell(text, 100 * interval.estimate, 100 * low, 100 * high, ends, n, strong, spread)


def measure_cell(curve: Curve, measure: str, timestep: int, form: Callable[[float], str]) -> Cell:
    """Any measure at T, as the mean over seeds."""
    interval = curve.interval(measure, timestep)
    if interval is None:
        return MISSING
    return _interval_cell(interval, form, seeds_of(curve))


def difference_cell(test: Comparison | None) -> Cell:
    """A paired difference of accuracies in points."""
    if test is None:
        return MISSING
    d = test.difference
    ends = f"[{numbers.points(d.low)}, {numbers.points(d.high)}]"
    n = f"{d.n} seeds" if "seeds" in d.kind else f"1 seed, {d.n:,} images"
    return Cell(
        numbers.points(d.estimate),
        100 * d.estimate,
        100 * d.low,
        100 * d.high,
        ends,
        n,
        deviation=_times(100, d.deviation),
    )


def estimate_cell(estimate: Estimate | None, form: Callable[[Any], str]) -> Cell:
    """Steps or a ratio, with its bootstrap interval; `not reached` sorts last."""
    if estimate is None:
        return MISSING
    ends = ""
    never = isinstance(estimate.low, NotReached)
    if not never and estimate.low is not None and estimate.high is not None:
        ends = f"[{_end(estimate.low, form)}, {_end(estimate.high, form)}]"
    return Cell(
        form(estimate.value),
        _plain(estimate.value),
        _plain(estimate.low),
        _plain(estimate.high),
        interval=ends,
        n=plural(estimate.seeds) + (f", to T = {estimate.until}" if estimate.until else ""),
    )


def best_cell(analysis: Analysis, pace: Pace | None) -> Cell:
    """Best T of a method; missing where even its accuracy there is not above chance."""
    if pace is None:
        return MISSING
    curve = pace.curve
    best = best_timesteps(curve.timesteps, curve.accuracy)
    return MISSING if analysis.at_chance(curve, best) else estimate_cell(pace.best, numbers.steps)


def spread_cell(values: list[float], form: Callable[[float], str]) -> Cell:
    """Values of several seeds as their mean with its spread."""
    return _interval_cell(spread(values), form, plural(len(values)))


def _interval_cell(interval: Interval, form: Callable[[float], str], n: str) -> Cell:
    if interval.n < 2:
        return Cell(form(interval.estimate), interval.estimate, n=n)
    low = max(0.0, interval.low)  # of counts, energies and times, which are none below 0
    ends = f"[{form(low)}, {form(interval.high)}]"
    if interval.kind == RANGE:
        least, largest = form(low), form(interval.high)
        ends = ALIKE if least == largest else f"from {least} to {largest}"
    sd = interval.deviation
    return Cell(
        form(interval.estimate), interval.estimate, low, interval.high, ends, n, deviation=sd
    )


def _times(factor: float, value: float | None) -> float | None:
    return None if value is None else factor * value


def _end(value: Value, form: Callable[[Any], str]) -> str:
    return "∞" if isinstance(value, NotReached) else form(value)


def _plain(value: Value | None) -> float | None:
    if value is None:
        return None
    return float("inf") if isinstance(value, NotReached) else float(value)


def seeds_of(curve: Curve) -> str:
    return plural(len(curve.seeds))


def plural(seeds: int) -> str:
    return f"{seeds} seed{'s' if seeds != 1 else ''}"
