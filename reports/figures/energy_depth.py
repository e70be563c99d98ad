"""Energy against depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, count_axis, energy_scale
from reports.figures.depth import depth_rows, draw_depth

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Mean over seeds at the report T, with 95 % ends."""
    return depth_rows(analysis, "energy_pj_per_image")


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One family: rows as `prepare` gives them."""
    size, unit = energy_scale(rows["energy_pj_per_image"])
    draw_depth(rows, ax, "energy_pj_per_image", 1 / size)
    values, low, high = (rows[name] / size for name in ("energy_pj_per_image", "low", "high"))
    count_axis(ax.yaxis, values, low, high)
    ax.set_ylabel(f"energy per image by model ({unit})")


FIGURE = Figure(
    "energy-depth",
    "Energy against depth",
    "Energy by model.",
    "one family of architectures at several depths",
    prepare,
    draw,
    spread="whisker",
    reported=True,
)
