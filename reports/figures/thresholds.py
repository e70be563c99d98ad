"""Thresholds by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, count_axis, each, empty, identity, look_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Mean threshold of each layer over seeds, with the least and the largest of any channel."""
    rows = []
    for curve in analysis.curves:
        found = [
            analysis.study.cases[case].facts.get("thresholds") or {}
            for case in curve.cases
            if case in analysis.study.cases
        ]
        names = list(found[0]) if found and curve.arm != "ann" else []
        for place, name in enumerate(names):
            own = [thresholds[name] for thresholds in found if name in thresholds]
            rows.append(
                identity(curve)
                | {
                    "layer": name,
                    "place": place + 1,
                    "threshold": float(np.mean([item["mean"] for item in own])),
                    "least": min(float(item["min"]) for item in own),
                    "largest": max(float(item["max"]) for item in own),
                }
            )
    return pd.DataFrame(rows) if rows else empty()


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One network: mean threshold, whiskers from the least to the largest channel and seed."""
    for label, own in each(rows):
        below = (own["threshold"] - own["least"]).clip(lower=0)
        above = (own["largest"] - own["threshold"]).clip(lower=0)
        ax.errorbar(
            own["place"],
            own["threshold"],
            yerr=[below, above],
            label=label,
            capsize=2,
            elinewidth=0.7,
            **look_of(own),
        )
    if (rows["least"] > 0).all():
        count_axis(ax.yaxis, pd.concat([rows["least"], rows["largest"]]))
    ax.set_xticks(sorted(rows["place"].unique()))
    ax.set_xlabel("spiking layer")
    ax.set_ylabel("threshold θ (input current)")


FIGURE = Figure(
    "thresholds",
    "Thresholds by layer",
    "Mean threshold of each spiking layer; whiskers: least and largest of any channel and seed.",
    "thresholds in case.json",
    prepare,
    draw,
    detail=True,
)
