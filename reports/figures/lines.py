"""Lines of methods, what lies behind them, and where they have markers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reports.figures.base import each, look_of
from reports.style import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAND = 0.15
"""Opacity of what seeds differ by, behind a line."""

STROKE: Mapping[str, Any] = {
    "linestyle": "none", "marker": "|", "markersize": 12, "markeredgewidth": 1.5
}  # fmt: skip
"""The sign of the T of the training: no method's marker."""
TRAINED = "Markers at powers of two; upright stroke: the T that a direct network was trained for."


def band(ax: Axes, rows: pd.DataFrame, x: str, y: str, scale: float = 1.0) -> None:
    """A line with markers, and behind it what `behind` draws."""
    label = str(rows["label"].iloc[0])
    arguments = look_of(rows)
    marks = places_marked(rows, x)
    ax.plot(rows[x], rows[y] * scale, label=label, markevery=marks, **arguments)
    behind(ax, rows, x, y, scale)


def whiskered(rows: pd.DataFrame, ax: Axes, x: str, y: str, scale: float = 1.0) -> None:
    """A line per label, with a whisker from `low` to `high` at every point."""
    for label, unordered in each(rows):
        own = unordered.sort_values(x)
        middle = own[y] * scale
        below = (middle - own["low"] * scale).clip(lower=0)
        above = (own["high"] * scale - middle).clip(lower=0)
        arguments = look_of(own)
        if arguments["marker"] == "None":
            arguments["marker"] = "."
        ax.errorbar(own[x], middle, yerr=[below, above], label=label, capsize=2,
                    elinewidth=0.8, **arguments)  # fmt: skip


def behind(ax: Axes, rows: pd.DataFrame, x: str, y: str, scale: float = 1.0) -> None:
    """The band between the ends of a line, where seeds give them."""
    if rows[f"{y}_low"].notna().any():
        ends = (rows[f"{y}_low"] * scale, rows[f"{y}_high"] * scale)
        colour = look_of(rows)["color"]
        ax.fill_between(rows[x], *ends, color=colour, alpha=BAND, linewidth=0)


def ann_line(ax: Axes, rows: pd.DataFrame) -> None:
    """The ANN's accuracy as a horizontal line with its band."""
    for label, own in each(rows[rows["arm"] == "ann"]):
        arguments = look_of(own)
        first = own.iloc[0]
        ax.axhline(
            first["accuracy"] * 100,
            color=arguments["color"],
            linestyle=arguments["linestyle"],
            label=label,
            linewidth=1.1,
        )
        if np.isfinite(first["accuracy_low"]):
            low, high = first["accuracy_low"] * 100, first["accuracy_high"] * 100
            ax.axhspan(low, high, color=GREY, alpha=BAND, linewidth=0)


def mark_training(ax: Axes, rows: pd.DataFrame, y: str, scale: float = 1.0) -> None:
    """An upright stroke on each direct network's curve at the T that it was trained for."""
    trained = rows[rows.get("trained", pd.Series(False, rows.index)).astype(bool)]
    for _, own in each(trained):
        colour = look_of(own)["color"]
        ax.plot(own["latency"], own[y] * scale, color=colour, **STROKE)
    if len(trained):
        ax.plot([], [], color="black", label="training T", **STROKE)


def places_marked(rows: pd.DataFrame, x: str) -> list[int]:
    """Places of a curve that get a marker: the powers of two of T, else as `marked`."""
    if "timestep" not in rows:
        return marked(rows[x].to_numpy())
    values = rows["latency" if x == "latency" else "timestep"].to_numpy()
    powers = [place for place, t in enumerate(values.tolist()) if t > 0 and t & (t - 1) == 0]
    return powers or marked(values)


def marked(values: np.ndarray) -> list[int]:
    """Places of the values that get a marker: about evenly spaced on a logarithmic axis."""
    if values.size <= 10 or values.min() <= 0:
        return list(range(0, values.size, max(1, values.size // 8)))
    wanted = np.geomspace(values.min(), values.max(), 9)
    return sorted({int(np.abs(values - w).argmin()) for w in wanted})
