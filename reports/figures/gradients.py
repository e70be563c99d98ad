"""Gradient by layer for several values of a parameter (Ledinauskas 2020, fig. 3; Zheng, fig. 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, count_axis, decade_axis, empty, identity
from reports.style import DASHES, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SYMBOLS = {"gamma": "γ", "tau": "τ", "tau_decay": "τ_decay"}
MOST_VALUES = 6


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Mean over seeds of each layer's mean absolute gradient, for the values tried.

    Settings of one method that tried one value each share a panel. Of more than MOST_VALUES
    values that a search tried, the powers of two stay, and the one that it chose (`balanced`).
    place: of the value among those shown.
    """
    gradients = analysis.study.stacked("gradients.csv")
    if gradients is None:
        return empty()
    rows = []
    for curve in analysis.curves:
        own = gradients[gradients["case"].isin(curve.cases)]
        given = own["value"].nunique() == 1
        name = curve.base if given else curve.label
        chosen = float("nan") if given or own.empty else balanced(own)
        means = own.groupby(["parameter", "value", "index"], sort=True)["gradient"].mean()
        for (parameter, value, index), gradient in means.items():
            row = identity(curve) | {"parameter": parameter, "value": float(value)}
            row |= {"given": given, "chosen": value == chosen}
            row |= {"panel": f"{curve.network}, {name}", "index": int(index)}
            rows.append(row | {"gradient": float(gradient)})
    if not rows:
        return empty()
    table = pd.DataFrame(rows)
    parts = []
    for _, own in table.groupby("parameter", sort=False):
        tried = shown(sorted(own.loc[~own["given"], "value"].unique()))
        kept = own.loc[own["given"] | own["chosen"], "value"]
        values = sorted({*kept, *tried})
        own = own[own["value"].isin(values)]
        parts.append(own.assign(place=own["value"].map(values.index), places=len(values)))
    return pd.concat(parts, ignore_index=True)


def shown(values: list[float]) -> list[float]:
    """At most MOST_VALUES of the sorted values: powers of two, or evenly chosen ones."""
    if len(values) <= MOST_VALUES:
        return values
    powers = [v for v in values if v > 0 and float(np.log2(v)).is_integer()]
    chosen = powers if len(powers) >= MOST_VALUES // 2 else values
    picked = np.linspace(0, len(chosen) - 1, min(MOST_VALUES, len(chosen))).round().astype(int)
    return [chosen[place] for place in picked]


def balanced(rows: pd.DataFrame) -> float:
    """The value that a search takes: mean gradient of the first half of the layers nearest to that
    of the rest (Ledinauskas 2020, section 2.5), mean over seeds; NaN where all gradients are 0."""
    table = rows.pivot_table("gradient", "index", "value")
    half = len(table) // 2
    distance = (table[:half].mean() / table[half:].mean() - 1).abs()
    return float(distance.idxmin()) if distance.notna().any() else float("nan")


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One method: a line per value over the layers, on a logarithmic axis."""
    import matplotlib

    shades = matplotlib.colormaps["cividis"]
    for (parameter, value), own in rows.groupby(["parameter", "value"], sort=True):
        place = int(own["place"].iloc[0])
        ax.plot(
            own["index"] + 1,
            own["gradient"],
            color=shades(0.9 * place / max(1, int(own["places"].iloc[0]) - 1)),
            linestyle=DASHES[place % len(DASHES)],
            marker=MARKERS[place % len(MARKERS)],
            label=f"{SYMBOLS.get(parameter, parameter)} = {value:.3g}",
            linewidth=2.6 if own["chosen"].any() else None,
        )
    gradients = rows["gradient"]
    if not (gradients > 0).any():
        ax.text(0.5, 0.6, "all zero", ha="center", va="center", transform=ax.transAxes)
        ax.set_yticks([])
    elif gradients.min() > 0 and gradients.max() / gradients.min() < 100:
        count_axis(ax.yaxis, gradients)
    else:
        decade_axis(ax.yaxis)
    ax.locator_params(axis="x", integer=True)
    ax.set_xlabel("layer")
    ax.set_ylabel("mean |gradient| of a weight")


FIGURE = Figure(
    "gradients",
    "Gradient by layer",
    "Mean absolute gradient of each layer's weights, for the values of the parameter tried (of a "
    "search at most seven); the thick line is the value that the search chose.",
    "gradients.csv of a direct training",
    prepare,
    draw,
    detail=True,
)
