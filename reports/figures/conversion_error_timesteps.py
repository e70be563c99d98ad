"""Conversion error of each layer against T."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, count_axis, empty, identity, timestep_axis
from reports.style import DASHES, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


LEAST = 1e-3
"""Of the axis: a layer that is exact at some T leaves it, and does not flatten all the others."""


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Mean over seeds of each layer's total error at every T kept."""
    errors = analysis.study.stacked("errors.csv")
    if errors is None or errors["timestep"].nunique() < 2:
        return empty()
    rows = []
    for curve in analysis.curves:
        own = errors[errors["case"].isin(curve.cases)]
        means = own.groupby(["index", "layer", "timestep"], sort=True)["total"].mean()
        for (index, layer, timestep), total in means.items():
            row = identity(curve) | {"layer": layer, "index": int(index), "total": float(total)}
            row |= {"panel": f"{curve.network}, {curve.label}", "timestep": int(timestep)}
            rows.append(row)
    return pd.DataFrame(rows) if rows else empty()


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One method: a line per layer, darker with depth."""
    import matplotlib

    layers = list(rows["layer"].unique())
    shades = matplotlib.colormaps["cividis_r"]
    for place, layer in enumerate(layers):
        own = rows[rows["layer"] == layer]
        ax.plot(
            own["timestep"],
            own["total"],
            color=shades(0.15 + 0.85 * place / max(1, len(layers) - 1)),
            linestyle=DASHES[place % len(DASHES)],
            marker=MARKERS[place % len(MARKERS)],
            markevery=max(1, len(own) // 6),
            label=layer,
        )
    timestep_axis(ax, rows["timestep"])
    count_axis(ax.yaxis, rows["total"].clip(lower=LEAST))
    ax.set_ylabel("‖rate·θ − a‖ / ‖a‖")


FIGURE = Figure(
    "conversion-error-timesteps",
    "Conversion error against T",
    "Relative error of each layer's rates against the ANN's activations, at every T. "
    f"What is below {LEAST:g} leaves the axis.",
    "errors.csv of a conversion at several T",
    prepare,
    draw,
    detail=True,
)
