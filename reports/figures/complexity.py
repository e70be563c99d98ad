"""Operations of every network against those of the ANN (Lee 2020, fig. 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports.analysis import Analysis
from reports.curves import reference
from reports.figures.base import Figure, beside, empty, identity
from reports.style import look

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def prepare(analysis: Analysis) -> pd.DataFrame:
    """ACs and MACs at the report T, as multiples of the ANN's dense MACs."""
    rows = []
    for items in analysis.networks.values():
        ann = reference(items)
        dense = float(ann.mean("mac_per_image")[0]) if ann is not None else 0.0
        for curve in items if dense > 0 else ():
            place = curve.index(curve.report_timestep)
            additions = float(curve.mean("ac_per_image")[place])
            products = float(curve.mean("mac_per_image")[place])
            if curve.arm == "ann" or pd.notna(additions):
                row = identity(curve) | {"mac_ratio": products / dense}
                row |= {"ac_ratio": 0.0 if curve.arm == "ann" else additions / dense}
                rows.append(row)
    return pd.DataFrame(rows) if rows else empty()


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One network: additions hatched on top of multiply-adds."""
    colours = [
        look(m, a, int(v)).colour
        for m, a, v in zip(rows["method"], rows["arm"], rows["variant"], strict=True)
    ]
    places = range(len(rows))
    ax.barh(places, rows["mac_ratio"], color=colours, height=0.62, edgecolor=colours)
    ax.barh(
        places,
        rows["ac_ratio"],
        left=rows["mac_ratio"],
        color="white",
        edgecolor=colours,
        hatch="////",
        height=0.62,
    )
    for place, total in zip(places, rows["mac_ratio"] + rows["ac_ratio"], strict=True):
        beside(ax, total, place, f"{total:.3g}")
    ax.barh([0], [0], color="#767676", label="multiply-adds")
    ax.barh([0], [0], color="white", edgecolor="#767676", hatch="////", label="additions")
    ax.set_yticks(places, rows["label"])
    ax.invert_yaxis()
    ax.margins(x=0.14)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("operations / MACs of the ANN")


FIGURE = Figure(
    "complexity",
    "Operations",
    "Additions and multiply-adds over the ANN's MACs.",
    "operation counts and an ANN",
    prepare,
    draw,
    detail=True,
    reported=True,
)
