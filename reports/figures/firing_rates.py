"""Firing rates by layer (Zheng 2021, fig. 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, empty
from reports.figures.traces import layer_values, violins

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def prepare(analysis: Analysis) -> pd.DataFrame:
    """One row per method and layer; `values` holds the layer's array."""
    rows = layer_values(analysis, "rates_")
    return pd.DataFrame(rows) if rows else empty()


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One method: a violin per layer, its quartiles as lines."""
    violins(ax, rows)
    ax.set_xlabel("spikes per step")
    ax.set_ylabel("layer")


FIGURE = Figure(
    "firing-rates",
    "Firing rates",
    "Distribution of the neurons' spikes per step in each layer.",
    "traces.npz with rates_LAYER",
    prepare,
    draw,
    legend=False,
    detail=True,
)
