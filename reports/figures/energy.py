"""Energy per image by the simple model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports import numbers
from reports.analysis import Analysis
from reports.figures.base import Figure, beside, empty, energy_scale, identity, spread
from reports.style import look

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Energy at the report T by `horowitz-fp32`, with its ends over seeds."""
    rows = []
    for curve in analysis.curves:
        values = curve.measures["energy_pj_per_image"][:, curve.index(curve.report_timestep)]
        if np.isfinite(values).all():
            rows.append(identity(curve) | spread("energy_pj", values))
    return pd.DataFrame(rows) if rows else empty()


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One network: a bar per method with its whisker."""
    looks = [
        look(m, a, int(v))
        for m, a, v in zip(rows["method"], rows["arm"], rows["variant"], strict=True)
    ]
    places = range(len(rows))
    size, unit = energy_scale(rows["energy_pj"])
    ax.barh(
        places,
        rows["energy_pj"] / size,
        height=0.62,
        color=["white" if item.hollow else item.colour for item in looks],
        edgecolor=[item.colour for item in looks],
        linewidth=1.3,
    )
    for place, row in zip(places, rows.itertuples(), strict=True):
        end = max(row.energy_pj, np.nan_to_num(row.energy_pj_high)) / size
        beside(ax, end, place, numbers.energy(float(row.energy_pj)))
        if np.isfinite(row.energy_pj_low):
            ends = [row.energy_pj_low / size, row.energy_pj_high / size]
            ax.plot(ends, [place, place], color="black", linewidth=0.8)
    ax.set_yticks(places, rows["label"])
    ax.invert_yaxis()
    ax.margins(x=0.2)
    ax.set_xlim(left=0)
    ax.locator_params(axis="x", nbins=5)
    ax.xaxis.set_major_formatter(lambda value, _: numbers.tick(value))
    ax.grid(visible=False, axis="y")
    ax.set_xlabel(f"energy per image by model ({unit})")


FIGURE = Figure(
    "energy",
    "Energy by model",
    "Energy per image: 0.9 pJ per addition, 4.6 per MAC.",
    "energies",
    prepare,
    draw,
    legend=False,
    detail=True,
    spread="whisker",
    reported=True,
)
