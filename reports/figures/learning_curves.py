"""Learning curves: accuracy on training and validation images against the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, each, empty, identity, look_of, spread
from reports.figures.lines import band
from reports.style import DASHED

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
    """One network: validation with markers, training as a dashed line."""
    for _, own in each(rows):
        band(ax, own, "epoch", "validation_accuracy", 100)
        colour = look_of(own)["color"]
        ax.plot(own["epoch"], own["train_accuracy"] * 100, color=colour, linewidth=0.7, alpha=0.8,
                linestyle=DASHED)  # fmt: skip
    ax.plot([], [], color="#767676", linewidth=0.7, linestyle=DASHED, label="training images")
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
    "Validation accuracy against the epoch; dashed: accuracy on the training images.",
    "history.csv",
    prepare,
    draw,
    detail=True,
    spread="band",
)
