"""Rows and axes of the figures against depth: one panel per data set and family."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from reports.analysis import Analysis
from reports.curves import Curve, families
from reports.figures.base import at_report, empty, identity
from reports.figures.lines import whiskered

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def depth_rows(analysis: Analysis, measure: str, **more: Callable[[Curve], float]) -> pd.DataFrame:
    """A measure at the report T of every curve, with its ends over seeds, against depth.

    more: further columns, each worked out from the row's curve.
    """
    rows = []
    for family, items in families(analysis.curves).items():
        for curve in items:
            found = at_report(curve, measure)
            if found is not None:
                rows.append(
                    identity(curve)
                    | {"panel": family, "depth": curve.depth}
                    | found
                    | {name: value(curve) for name, value in more.items()}
                )
    return pd.DataFrame(rows) if rows else empty()


def draw_depth(rows: pd.DataFrame, ax: Axes, measure: str, scale: float = 1.0) -> None:
    """A line per method over depth with whiskers."""
    whiskered(rows, ax, "depth", measure, scale)
    depth_axis(ax, rows)


def depth_axis(ax: Axes, rows: pd.DataFrame) -> None:
    """Ticks at the depths that were run."""
    depths = sorted(int(depth) for depth in rows["depth"].unique())
    ax.set_xticks(depths, [str(depth) for depth in depths])
    ax.set_xlabel("depth (trainable layers)")
