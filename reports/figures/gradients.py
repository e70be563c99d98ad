"""Gradient by layer for several values of a parameter (Ledinauskas 2020, fig. 3; Zheng, fig. 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, empty, identity
from reports.style import DASHES, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SYMBOLS = {"gamma": "γ", "tau": "τ", "tau_decay": "τ_decay"}


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Mean over seeds of each layer's mean absolute gradient, for each value tried.

    Settings of one method that tried one value each share a panel.
    """
    gradients = analysis.study.stacked("gradients.csv")
    if gradients is None:
        return empty()
    rows = []
    for curve in analysis.curves:
        own = gradients[gradients["case"].isin(curve.cases)]
        name = curve.base if own["value"].nunique() == 1 else curve.label
        means = own.groupby(["parameter", "value", "index"], sort=True)["gradient"].mean()
        for (parameter, value, index), gradient in means.items():
            row = identity(curve) | {"parameter": parameter, "value": float(value)}
            row |= {"panel": f"{curve.network}, {name}", "index": int(index)}
            rows.append(row | {"gradient": float(gradient)})
    return pd.DataFrame(rows) if rows else empty()


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One method: a line per value over the layers, on a logarithmic axis."""
    import matplotlib

    shades = matplotlib.colormaps["cividis"]
    pairs = list(rows.groupby(["parameter", "value"], sort=True))
    for place, ((parameter, value), own) in enumerate(pairs):
        ax.plot(
            own["index"] + 1,
            own["gradient"],
            color=shades(0.9 * place / max(1, len(pairs) - 1)),
            linestyle=DASHES[place % len(DASHES)],
            marker=MARKERS[place % len(MARKERS)],
            label=f"{SYMBOLS.get(parameter, parameter)} = {value:g}",
        )
    ax.set_yscale("log")
    ax.locator_params(axis="x", integer=True)
    ax.set_xlabel("layer")
    ax.set_ylabel("mean |gradient|")


FIGURE = Figure(
    "gradients",
    "Gradient by layer",
    "Mean absolute gradient of each layer's weights, for each value of the parameter tried.",
    "gradients.csv of a direct training",
    prepare,
    draw,
)
