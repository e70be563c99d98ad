"""Accuracy against T: every method of a network, the ANN as a line, bands over seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import (
    Figure,
    accuracy_axis,
    each,
    latency_label,
    sweep_rows,
    timestep_axis,
)
from reports.figures.lines import TRAINED, ann_line, band, mark_training

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Mean accuracy of every curve at every T, with 95 % ends over seeds."""
    return sweep_rows(analysis.curves, ["accuracy"])


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One network: rows as `prepare` gives them."""
    spiking = rows[rows["arm"] != "ann"]
    ann_line(ax, rows)
    for _, own in each(spiking):
        band(ax, own, "latency", "accuracy", 100)
    mark_training(ax, spiking, "accuracy", 100)
    if len(spiking):
        timestep_axis(ax, spiking["latency"], latency_label(rows))
    accuracy_axis(ax, rows["accuracy"], rows["accuracy_low"], rows["accuracy_high"])


FIGURE = Figure(
    "accuracy-timesteps",
    "Accuracy against T",
    f"Accuracy of every method at every T; the ANN is the horizontal line. {TRAINED}",
    "a sweep",
    prepare,
    draw,
    spread="band",
)
