"""Spike raster of one image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, empty
from reports.figures.traces import traces

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def prepare(analysis: Analysis) -> pd.DataFrame:
    """One row per spike: step (from 1) and neuron (from 0); steps and neurons of the whole."""
    parts = []
    for facts, arrays in traces(analysis, "raster"):
        raster = np.asarray(arrays["raster"], dtype=bool)
        step, neuron = np.nonzero(raster)
        parts.append(
            pd.DataFrame({"timestep": step + 1, "neuron": neuron}).assign(
                **facts, steps=raster.shape[0], neurons=raster.shape[1]
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else empty()


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One method: a tick per spike."""
    ax.plot(rows["timestep"], rows["neuron"], "|", color="black", markersize=2.5)
    ax.set_xlim(0.5, rows["steps"].iloc[0] + 0.5)
    ax.set_ylim(-0.5, rows["neurons"].iloc[0] - 0.5)
    ax.grid(visible=False)
    ax.set_xlabel("timestep")
    ax.set_ylabel("neuron")


FIGURE = Figure(
    "raster",
    "Spike raster of one image",
    "Every spike of the neurons that were watched.",
    "traces.npz with raster",
    prepare,
    draw,
    legend=False,
)
