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
    trained_for,
)
from reports.figures.lines import TRAINED, behind, mark_training, places_marked
from reports.metrics import POINT, TOLERANCES

if TYPE_CHECKING:
    from matplotlib.axes import Axes


LINEAR = 0.5
"""Points around 0 within which the axis is linear."""


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Spiking less ANN accuracy in points at every T, paired by seed where seeds match."""
    tables = []
    for items in analysis.networks.values():
        ann = reference(items)
        for curve in items:
            if ann is None or curve.arm == "ann":
                continue
            steps = {"timestep": curve.timesteps.astype(int), "latency": curve.latency.astype(int)}
            steps["trained"] = curve.timesteps == trained_for(curve)
            columns = identity(curve) | steps | spreads("gap", _gaps(curve, ann))
            tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True) if tables else empty()


def _gaps(curve: Curve, ann: Curve) -> np.ndarray:
    """[seeds, n] in points; a seed without an ANN of its own is held against the mean ANN."""
    mean = float(ann.accuracy[0])
    own = dict(zip(ann.seeds, ann.measures["accuracy"][:, 0], strict=True))
    anchors = np.array([own.get(seed, mean) for seed in curve.seeds])
    return np.asarray((curve.measures["accuracy"] - anchors[:, None]) / POINT)


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One network: linear within LINEAR of 0, logarithmic beyond; dotted lines at each −δ."""
    for label, own in each(rows):
        arguments = look_of(own)
        marks = places_marked(own, "latency")
        ax.plot(own["latency"], own["gap"], label=label, markevery=marks, **arguments)
        behind(ax, own, "latency", "gap")
    ax.axhline(0, color="black", linewidth=1.1, label="ANN")
    for tolerance in TOLERANCES:
        ax.axhline(-tolerance, color="#767676", linewidth=0.7, linestyle=(0, (1, 2)))
        ax.annotate(
            f"−{tolerance:g}",
            (1, -tolerance),
            xycoords=("axes fraction", "data"),
            xytext=(2, 0),
            textcoords="offset points",
            size="x-small",
            va="center",
            color="#767676",
        )
    ax.set_yscale("symlog", linthresh=LINEAR, linscale=0.6)
    low = min(-3.0, 1.3 * float(rows[["gap", "gap_low"]].min(axis=None)))
    high = max(0.3, 1.2 * float(rows["gap"].max()))
    ticks = [tick for tick in (-50, -20, -10, -5, -2, -1, 0, 1, 2, 5) if low <= tick <= high]
    ax.set_yticks(ticks, [f"{tick:+g}".replace("-", "−") if tick else "0" for tick in ticks])
    ax.set_yticks([], minor=True)
    ax.set_ylim(low, high)
    ax.set_ylabel("SNN − ANN (points)")
    mark_training(ax, rows, "gap")
    timestep_axis(ax, rows["latency"], latency_label(rows))


FIGURE = Figure(
    "gap-timesteps",
    "Gap to the ANN against T",
    "Points of accuracy above the ANN (below it: −); dotted lines: the δ of T*(δ). The axis is "
    f"linear within {LINEAR:g} points of 0 and logarithmic beyond. What seeds differ by is cut off "
    f"above the highest curve. {TRAINED}",
    "an ANN",
    prepare,
    draw,
    detail=True,
    spread="band",
)
