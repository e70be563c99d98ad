"""Spikes per image against T."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import (
    Figure,
    count_axis,
    each,
    latency_label,
    sweep_rows,
    timestep_axis,
)
from reports.figures.lines import TRAINED, band, mark_training

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Mean spikes per image of every spiking curve at every T."""
    spiking = [curve for curve in analysis.curves if curve.arm != "ann"]
    rows = sweep_rows(spiking, ["spikes_per_image"])
    return rows.dropna(subset="spikes_per_image") if len(rows) else rows


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One network: rows as `prepare` gives them."""
    for _, own in each(rows):
        band(ax, own, "latency", "spikes_per_image")
    mark_training(ax, rows, "spikes_per_image")
    timestep_axis(ax, rows["latency"], latency_label(rows))
    if (rows["spikes_per_image"] > 0).any():
        low, high = rows["spikes_per_image_low"], rows["spikes_per_image_high"]
        count_axis(ax.yaxis, rows["spikes_per_image"].clip(lower=1), low, high)
    ax.set_ylabel("hidden spikes per image")


FIGURE = Figure(
    "spikes-timesteps",
    "Spikes against T",
    f"Spikes of the hidden neurons until T, per image. {TRAINED}",
    "spike counts",
    prepare,
    draw,
    detail=True,
    spread="band",
)
