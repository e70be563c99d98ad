"""Spikes against depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, count_axis
from reports.figures.depth import depth_rows, draw_depth

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Mean over seeds at the report T, with 95 % ends."""
    return depth_rows(analysis, "spikes_per_image")


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One family: rows as `prepare` gives them."""
    draw_depth(rows, ax, "spikes_per_image", 1)
    count_axis(ax.yaxis, rows["spikes_per_image"], rows["low"], rows["high"])
    ax.set_ylabel("hidden spikes per image")


FIGURE = Figure(
    "spikes-depth",
    "Spikes against depth",
    "Spikes per image.",
    "one family of architectures at several depths",
    prepare,
    draw,
    spread="whisker",
    reported=True,
)
