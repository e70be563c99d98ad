"""Energy against depth."""

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
    return depth_rows(analysis, "energy_pj_per_image")


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One family: rows as `prepare` gives them."""
    draw_depth(rows, ax, "energy_pj_per_image", 1e-3)
    count_axis(ax.yaxis, rows["energy_pj_per_image"] * 0.001)
    ax.set_ylabel("energy per image by model (nJ)")


FIGURE = Figure(
    "energy-depth",
    "Energy against depth",
    "Energy by model at the T the method is reported at, 95 % over seeds.",
    "one family of architectures at several depths",
    prepare,
    draw,
)
