"""Traces of single images, as far as cases have kept them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reports.analysis import Analysis
from reports.curves import Curve
from reports.figures.base import identity, trained_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FACE, EDGE = "#9ECAE1", "#2B4C6F"
BY_STEP = ("currents", "raster")
"""Arrays whose first axis is that of the steps; the rates are means over the same steps."""
QUARTILES = [0.25, 0.5, 0.75]


def traces(analysis: Analysis, prefix: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Identity and arrays of the first case of each curve that kept an array of this prefix."""
    for curve in analysis.curves:
        for name in curve.cases:
            case = analysis.study.cases.get(name)
            arrays = case.arrays("traces.npz") if case is not None else None
            if arrays is not None and any(key.startswith(prefix) for key in arrays):
                panel = f"{curve.network}, {curve.label}{_beyond(curve, arrays)}"
                yield identity(curve) | {"panel": panel}, arrays
                break


def _beyond(curve: Curve, arrays: dict[str, Any]) -> str:
    """How many steps a direct network ran, where these are more than it was trained for."""
    steps = max((len(arrays[name]) for name in BY_STEP if name in arrays), default=0)
    trained = trained_for(curve)
    if trained is None or steps <= trained:
        return ""
    return f" ({steps} steps; trained for {trained})"


def layer_values(analysis: Analysis, prefix: str) -> list[dict[str, Any]]:
    """One row per curve and layer with all values of that layer's array."""
    return [
        facts | {"layer": key.removeprefix(prefix), "values": np.ravel(values)}
        for facts, arrays in traces(analysis, prefix)
        for key, values in arrays.items()
        if key.startswith(prefix)
    ]


def violins(ax: Axes, rows: pd.DataFrame) -> None:
    """A violin per layer, the first layer on top, with lines at its quartiles."""
    values = [np.asarray(own, dtype=float) for own in rows["values"]]
    places = range(len(values))
    parts = ax.violinplot(
        values,
        positions=places,
        orientation="horizontal",
        widths=0.8,
        showextrema=False,
        quantiles=[QUARTILES] * len(values),
    )
    bodies: Any = parts["bodies"]
    for body in bodies:
        body.set(facecolor=FACE, edgecolor=EDGE, linewidth=0.7, alpha=1.0)
    parts["cquantiles"].set(color=EDGE, linewidth=0.7, linestyle=(0, (2, 1)))
    ax.set_yticks(places, rows["layer"])
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
