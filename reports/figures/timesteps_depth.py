"""T*(1 point) against depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.analysis import Analysis
from reports.curves import families
from reports.figures.base import Figure, each, empty, identity, look_of, whisker
from reports.figures.depth import depth_axis
from reports.metrics import TOLERANCES, NotReached

if TYPE_CHECKING:
    from matplotlib.axes import Axes


BEYOND = "1"
"""The sign of `not reached`, three strokes: no method's marker."""


def prepare(analysis: Analysis) -> pd.DataFrame:
    """T*(1 point) of every spiking method; NaN, with the largest T, where it is not reached.

    trained: the steps up to the training T where T* is not reached but these are, else NaN.
    """
    place = TOLERANCES.index(1.0)
    pace_of = {id(pace.curve): pace for found in analysis.paces.values() for pace in found}
    rows = []
    for family, items in families(analysis.curves).items():
        for curve in items:
            pace = pace_of.get(id(curve))
            if pace is None or not pace.within:
                continue
            found = pace.within[place]
            ends = [
                np.nan if end is None or isinstance(end, NotReached) else float(end)
                for end in (found.value, found.low, found.high)
            ]
            row = identity(curve) | {"panel": family, "depth": curve.depth}
            row |= {"timesteps": ends[0], "low": ends[1], "high": ends[2]}
            row["trained"] = np.nan
            if isinstance(found.value, NotReached) and pace.trained:
                steps = pace.trained[place].value
                row["trained"] = np.nan if isinstance(steps, NotReached) else float(steps)
            rows.append(row | {"largest": int(curve.latency[-1])})
    return pd.DataFrame(rows) if rows else empty()


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One family: BEYOND at the largest T where T* is not reached."""
    labels = list(rows["label"].unique())
    room = 0.022 * (rows["depth"].max() - rows["depth"].min())
    for label, unordered in each(rows):
        own = unordered.sort_values("depth")
        aside = (labels.index(label) - (len(labels) - 1) / 2) * room  # so that none hides another
        own = own.assign(depth=own["depth"] + aside)
        arguments = look_of(own)
        ax.plot(own["depth"], own["timesteps"], label=label, **arguments)
        for row in own.itertuples():
            if np.isfinite(row.timesteps):
                whisker(ax, row.depth, row.low, row.high, arguments["color"])
        ax.plot(own["depth"], own["trained"], linestyle="none", marker="x", markersize=5,
                color=arguments["color"])  # fmt: skip
        beyond = own[own["timesteps"].isna()]
        ax.plot(beyond["depth"], beyond["largest"], linestyle="none", marker=BEYOND, markersize=8,
                color=arguments["color"])  # fmt: skip
    if rows["timesteps"].isna().any():
        ax.plot([], [], color="black", marker=BEYOND, markersize=8,
                linestyle="none", label="not reached by the largest T")  # fmt: skip
    if rows["trained"].notna().any():
        ax.plot([], [], "kx", linestyle="none", label="up to the training T, not T*")
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_formatter("{x:.0f}")
    ax.set_ylabel("T*(1 point) (steps)")
    ax.grid(visible=False, axis="x")
    depth_axis(ax, rows)


FIGURE = Figure(
    "timesteps-depth",
    "T* against depth",
    "Steps to stay within 1 point of the ANN at every larger T; whiskers: 95 % bootstrap; arrow "
    "line: no upper end, as it is not reached in every resample.",
    "one family of architectures at several depths, with an ANN",
    prepare,
    draw,
)
