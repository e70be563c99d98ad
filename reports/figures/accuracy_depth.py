"""Accuracy against depth, test and training images (Lee 2020, fig. 8; Ledinauskas 2020, fig. 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, each, look_of
from reports.figures.depth import depth_rows, draw_depth

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Test accuracy with 95 % ends, and training accuracy of the last epoch where it is kept."""
    history = analysis.study.history
    last = pd.Series(dtype=float)
    if history is not None:
        last = history.sort_values("epoch").groupby("case")["train_accuracy"].last()
    return depth_rows(
        analysis, "accuracy", train_accuracy=lambda curve: float(last.reindex(curve.cases).mean())
    )


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One family: test accuracy with whiskers, training accuracy as a thin line."""
    draw_depth(rows, ax, "accuracy", 100)
    known = rows[rows["train_accuracy"].notna()]
    for _, unordered in each(known):
        own = unordered.sort_values("depth")
        colour = look_of(own)["color"]
        ax.plot(own["depth"], own["train_accuracy"] * 100, color=colour, linewidth=0.7)
    if len(known):
        ax.plot([], [], color="#767676", linewidth=0.7, label="training images")
    ax.set_ylabel("accuracy (%)")


FIGURE = Figure(
    "accuracy-depth",
    "Accuracy against depth",
    "Test accuracy of ANN and spiking networks; thin lines: training images.",
    "one family of architectures at several depths",
    prepare,
    draw,
    spread="accuracy whisker",
)
