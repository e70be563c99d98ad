"""Spike raster of one image."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, empty
from reports.figures.traces import traces
from reports.style import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NAMES = 12  # of layers beside the axis


def prepare(analysis: Analysis) -> pd.DataFrame:
    """One row per spike: step (from 1) and neuron (from 0); steps and neurons of the whole.

    `layers` holds pairs (name, first neuron) where the traces say which neurons are whose.
    """
    parts = []
    for facts, arrays in traces(analysis, "raster"):
        raster = np.asarray(arrays["raster"], dtype=bool)
        step, neuron = np.nonzero(raster)
        spikes = pd.DataFrame({"timestep": step + 1, "neuron": neuron})
        spikes = spikes.assign(**facts, steps=raster.shape[0], neurons=raster.shape[1])
        spikes["layers"] = pd.Series([_layers(arrays)] * len(spikes), dtype=object)
        parts.append(spikes)
    return pd.concat(parts, ignore_index=True) if parts else empty()


def _layers(arrays: dict[str, np.ndarray]) -> tuple[tuple[str, int], ...]:
    if "raster_layer" not in arrays:
        return ()
    places, firsts = np.unique(arrays["raster_layer"], return_index=True)
    names = arrays["layers"][places]
    return tuple((str(name), int(first)) for name, first in zip(names, firsts, strict=True))


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One method: a tick per spike, a line between layers."""
    layers, neurons = rows["layers"].iloc[0], int(rows["neurons"].iloc[0])
    steps, places = rows["timestep"].to_numpy(float), rows["neuron"].to_numpy(float)
    gap = np.full(len(rows), np.nan)
    ax.plot(  # one path with gaps: a marker for each spike would make files ten times as large
        np.stack([steps, steps, gap], axis=1).ravel(),
        np.stack([places - 0.5, places + 0.5, gap], axis=1).ravel(),
        color="black",
        linewidth=max(0.5, min(1.4, 60 / max(1, int(rows["steps"].iloc[0])))),
        solid_capstyle="butt",
    )
    ax.set_xlim(0.5, rows["steps"].iloc[0] + 0.5)
    ax.set_ylim(-0.5, neurons - 0.5)
    ax.grid(visible=False)
    ax.locator_params(axis="x", integer=True)
    ax.set_xlabel("timestep")
    ax.set_ylabel("neurons watched, by layer" if layers else "neuron")
    if layers:
        firsts = [first for _, first in layers]
        for first in firsts[1:]:
            ax.axhline(first - 0.5, color=GREY, linewidth=0.6)
        middles = [(a + b - 1) / 2 for a, b in pairwise([*firsts, neurons])]
        every = -(-len(layers) // MOST_NAMES)
        ax.set_yticks(middles[::every], [name for name, _ in layers][::every])


FIGURE = Figure(
    "raster",
    "Spike raster of one image",
    "Every spike of the neurons that were watched.",
    "traces.npz with raster",
    prepare,
    draw,
    legend=False,
    detail=True,
)
