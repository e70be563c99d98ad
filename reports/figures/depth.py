"""Rows and axes of the figures against depth: one panel per data set and family."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.analysis import Analysis
from reports.curves import Curve, families
from reports.figures.base import each, empty, identity, look_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def depth_rows(analysis: Analysis, measure: str, **more: Callable[[Curve], float]) -> pd.DataFrame:
    """A measure at the report T of every curve, with its ends over seeds, against depth.

    more: further columns, each worked out from the row's curve.
    """
    rows = []
    for family, items in families(analysis.curves).items():
        for curve in items:
            found = curve.interval(measure, curve.report_timestep)
            if measure == "accuracy" and len(curve.seeds) == 1:
                found = curve.accuracy_interval(curve.report_timestep)
            if found is not None and np.isfinite(found.estimate):
                rows.append(
                    identity(curve)
                    | {
                        "panel": family,
                        "depth": curve.depth,
                        measure: found.estimate,
                        "low": max(0.0, found.low),
                        "high": min(1.0, found.high) if measure == "accuracy" else found.high,
                    }
                    | {name: value(curve) for name, value in more.items()}
                )
    return pd.DataFrame(rows) if rows else empty()


def draw_depth(rows: pd.DataFrame, ax: Axes, measure: str, scale: float = 1.0) -> None:
    """A line per method over depth with whiskers."""
    for label, unordered in each(rows):
        own = unordered.sort_values("depth")
        middle = own[measure] * scale
        below = (middle - own["low"] * scale).clip(lower=0)
        above = (own["high"] * scale - middle).clip(lower=0)
        arguments = look_of(own)
        if arguments["marker"] == "None":
            arguments["marker"] = "."
        ax.errorbar(own["depth"], middle, yerr=[below, above], label=label, capsize=2,
                    elinewidth=0.8, **arguments)  # fmt: skip
    depth_axis(ax, rows)


def depth_axis(ax: Axes, rows: pd.DataFrame) -> None:
    """Ticks at the depths that were run."""
    depths = sorted(int(depth) for depth in rows["depth"].unique())
    ax.set_xticks(depths, [str(depth) for depth in depths])
    ax.set_xlabel("depth (trainable layers)")
