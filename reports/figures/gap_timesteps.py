"""Gap to the ANN against T, with the tolerances that T* is read at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.analysis import Analysis
from reports.curves import Curve, reference
from reports.figures.base import (
    Figure,
    each,
    empty,
    identity,
    latency_label,
    look_of,
    spreads,
    timestep_axis,
)
from reports.figures.lines import behind, places_marked
from reports.metrics import POINT, TOLERANCES

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def prepare(analysis: Analysis) -> pd.DataFrame:
    """ANN less spiking accuracy in points at every T, paired by seed where seeds match."""
    tables = []
    for items in analysis.networks.values():
        ann = reference(items)
        for curve in items:
            if ann is None or curve.arm == "ann":
                continue
            steps = {"timestep": curve.timesteps.astype(int), "latency": curve.latency.astype(int)}
            columns = identity(curve) | steps | spreads("gap", _gaps(curve, ann))
            tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True) if tables else empty()


def _gaps(curve: Curve, ann: Curve) -> np.ndarray:
    """[seeds, n] in points; a seed without an ANN of its own is held against the mean ANN."""
    mean = float(ann.accuracy[0])
    own = dict(zip(ann.seeds, ann.measures["accuracy"][:, 0], strict=True))
    anchors = np.array([own.get(seed, mean) for seed in curve.seeds])
    return np.asarray((anchors[:, None] - curve.measures["accuracy"]) / POINT)


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One network: linear below half a point, logarithmic above; dotted lines at each δ."""
    for label, own in each(rows):
        arguments = look_of(own)
        marks = places_marked(own, "latency")
        ax.plot(own["latency"], own["gap"], label=label, markevery=marks, **arguments)
        behind(ax, own, "latency", "gap")
    ax.axhline(0, color="black", linewidth=1.1, label="ANN")
    for tolerance in TOLERANCES:
        ax.axhline(tolerance, color="#767676", linewidth=0.7, linestyle=(0, (1, 2)))
        ax.annotate(
            f"{tolerance:g}",
            (1, tolerance),
            xycoords=("axes fraction", "data"),
            xytext=(2, 0),
            textcoords="offset points",
            size="x-small",
            va="center",
            color="#767676",
        )
    ax.set_yscale("symlog", linthresh=0.5, linscale=0.6)
    largest = float(rows[["gap", "gap_high"]].max(axis=None))
    ticks = [tick for tick in (-5, -2, -1, 0, 1, 2, 5, 10, 20, 50) if tick <= largest * 1.3]
    low = min(-0.3, float(rows["gap"].min()) * 1.2)
    ticks = [tick for tick in ticks if tick >= low]
    ax.set_yticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
    ax.set_yticks([], minor=True)
    ax.set_ylim(low, max(3.0, largest * 1.3))
    ax.set_ylabel("ANN − SNN (points)")
    timestep_axis(ax, rows["latency"], latency_label(rows))


FIGURE = Figure(
    "gap-timesteps",
    "Gap to the ANN against T",
    "Points of accuracy below the ANN; dotted lines: the δ of T*(δ). What seeds "
    "differ by is cut off below the lowest curve.",
    "an ANN",
    prepare,
    draw,
    detail=True,
    spread="band",
)
