"""Accuracy against spikes per image: what a spike buys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, accuracy_axis, count_axis, counted, each, sweep_rows
from reports.figures.lines import ann_line, band

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Mean accuracy and mean spikes per image at every T; the ANN has no spikes."""
    rows = counted(
        sweep_rows(analysis.curves, ["accuracy", "spikes_per_image"]), "spikes_per_image"
    )
    return rows[(rows["spikes_per_image"] > 0) | (rows["arm"] == "ann")]


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One network: rows as `prepare` gives them."""
    ann_line(ax, rows)
    for _, own in each(rows[rows["arm"] != "ann"]):
        band(ax, own, "spikes_per_image", "accuracy", 100)
    count_axis(ax.xaxis, rows["spikes_per_image"].clip(lower=1))
    ax.set_xlabel("hidden spikes per image")
    accuracy_axis(ax, rows["accuracy"], rows["accuracy_low"], rows["accuracy_high"])


FIGURE = Figure(
    "accuracy-spikes",
    "Accuracy against spikes",
    "Accuracy for the mean of the spikes spent, one point per T; the ANN is the horizontal line.",
    "spike counts",
    prepare,
    draw,
    detail=True,
    spread="band",
)
