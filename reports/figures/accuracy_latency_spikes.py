"""Accuracy, latency and spikes in one figure (Lee 2020, fig. 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import (
    Figure,
    accuracy_axis,
    counted,
    each,
    latency_label,
    look_of,
    sweep_rows,
    timestep_axis,
)
from reports.figures.lines import ann_line, places_marked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LARGEST_AREA = 220.0


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Accuracy and spikes at every T; `share` is spikes over the most of any method there."""
    rows = counted(
        sweep_rows(analysis.curves, ["accuracy", "spikes_per_image"]), "spikes_per_image"
    )
    most = rows.groupby("panel")["spikes_per_image"].transform("max")
    return rows.assign(share=rows["spikes_per_image"] / most)


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One network: the area of a bubble around a marker is its spikes per image."""
    ann_line(ax, rows)
    spiking = rows[rows["arm"] != "ann"]
    for label, own in each(spiking):
        arguments = look_of(own)
        marks = places_marked(own, "latency")
        picked = own.iloc[marks]
        ax.plot(own["latency"], own["accuracy"] * 100, label=label, markevery=marks,
                **arguments | {"linewidth": 0.9, "markersize": 3})  # fmt: skip
        ax.scatter(
            picked["latency"],
            picked["accuracy"] * 100,
            s=LARGEST_AREA * picked["share"].fillna(0),
            color=arguments["color"],
            alpha=0.45,
            linewidth=0.8,
            edgecolor=arguments["color"],
        )
    most = float(np.nanmax(spiking["spikes_per_image"]))
    timestep_axis(ax, spiking["latency"], latency_label(rows))
    ax.set_xlabel(f"{ax.get_xlabel()}\n(largest bubble: {most:,.0f} spikes)")
    ann = rows[rows["arm"] == "ann"]  # the one with a band
    accuracy_axis(ax, rows["accuracy"], ann["accuracy_low"], ann["accuracy_high"])


FIGURE = Figure(
    "accuracy-latency-spikes",
    "Accuracy, latency and spikes",
    "Accuracy against T; the area of a bubble is the number of spikes per image.",
    "spike counts",
    prepare,
    draw,
    detail=True,
)
