"""Learning curves: accuracy on training and validation images against the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, band, each, empty, identity, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Training and validation accuracy of every trained network at every epoch."""
    history = analysis.study.history
    if history is None:
        return empty()
    rows = []
    for curve in analysis.curves:
        own = history[history["case"].isin(curve.cases)]
        for epoch, group in own.groupby("epoch"):
            row = identity(curve) | {"epoch": int(epoch)}
            row |= spread("validation_accuracy", group["validation_accuracy"].to_numpy())
            rows.append(row | spread("train_accuracy", group["train_accuracy"].to_numpy()))
    return pd.DataFrame(rows) if rows else empty()


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One network: validation with markers and band, training as a thin line."""
    for _, own in each(rows):
        band(ax, own, "epoch", "validation_accuracy", 100)
        colour = ax.lines[-1].get_color()
        ax.plot(own["epoch"], own["train_accuracy"] * 100, color=colour, linewidth=0.7, alpha=0.8)
    ax.plot([], [], color="#767676", linewidth=0.7, label="training images")
    ends = ["validation_accuracy_low", "validation_accuracy_high"]
    shown = rows[["validation_accuracy", "train_accuracy", *ends]] * 100
    low, high = float(shown.min(axis=None)), float(shown.max(axis=None))
    ax.set_ylim(max(0.0, low - 3), min(100.5, high + 3))
    ax.set_xlabel("epoch")
    ax.set_ylabel("accuracy (%)")
    ax.locator_params(axis="x", integer=True)


FIGURE = Figure(
    "learning-curves",
    "Learning curves",
    "Validation accuracy against the epoch; thin lines: accuracy on the training images.",
    "history.csv",
    prepare,
    draw,
    detail=True,
)
