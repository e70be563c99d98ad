"""Membrane potentials by layer (Zheng 2021, fig. 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, empty
from reports.figures.traces import layer_values, violins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = (0.005, 0.995)  # quantiles at the ends of the axis


def prepare(analysis: Analysis) -> pd.DataFrame:
    """One row per method and layer; `values` holds the layer's array."""
    rows = layer_values(analysis, "membrane_")
    return pd.DataFrame(rows) if rows else empty()


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One method: a violin per layer, its quartiles as lines; far outliers are outside."""
    violins(ax, rows)
    ax.set_xlim(*np.quantile(np.concatenate(rows["values"].to_list()), SHOWN))
    ax.set_xlabel("membrane potential (thresholds θ)")
    ax.set_ylabel("layer")


FIGURE = Figure(
    "membranes",
    "Membrane potentials",
    "Membrane potentials in units of the threshold, after the reset of every step, by layer: 99 % "
    "of them lie in view.",
    "traces.npz with membrane_LAYER",
    prepare,
    draw,
    legend=False,
    detail=True,
)
