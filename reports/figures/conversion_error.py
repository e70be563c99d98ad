"""Conversion error by layer, split into its causes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, empty, identity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CAUSES = {
    "clipping": ("#0072B2", ""),
    "quantisation": ("#E69F00", "////"),
    "unevenness": ("#009E73", "...."),
}


WIDTH = 0.26
"""Of a bar; the layers are 1 apart."""


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Mean over seeds of each share of the error at the largest T kept, by layer."""
    errors = analysis.study.stacked("errors.csv")
    if errors is None:
        return empty()
    rows = []
    for curve in analysis.curves:
        own = errors[errors["case"].isin(curve.cases)]
        if not len(own):
            continue
        own = own[own["timestep"] == own["timestep"].max()]
        means = own.groupby(["index", "layer"], sort=True)[[*CAUSES, "total"]].mean()
        for (_, layer), values in means.iterrows():
            row = identity(curve) | {"layer": layer, "timestep": int(own["timestep"].iloc[0])}
            row["panel"] = f"{curve.network}, {curve.label} at T = {row['timestep']}"
            rows.append(row | values.to_dict())
    return pd.DataFrame(rows) if rows else empty()


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One method: the three causes side by side, the total as a line over them."""
    places = np.arange(len(rows))
    for offset, (cause, (colour, hatch)) in zip((-1, 0, 1), CAUSES.items(), strict=True):
        ax.bar(places + offset * WIDTH, rows[cause], color=colour, hatch=hatch, edgecolor="white",
               width=WIDTH, label=cause)  # fmt: skip
    half = 1.5 * WIDTH
    ax.hlines(rows["total"], places - half, places + half, color="black", label="total")
    ax.set_xticks(places, rows["layer"] if len(rows) <= 6 else [str(p + 1) for p in places])
    ax.grid(visible=False, axis="x")
    ax.set_xlabel("layer")
    ax.set_ylabel("‖rate·θ − a‖ / ‖a‖")


FIGURE = Figure(
    "conversion-error",
    "Conversion error by layer",
    "Relative error of each layer's rates against the ANN's activations, in total and by cause. "
    "Clipping: activations above θ; quantisation: rates are multiples of 1/T; unevenness: spikes "
    "arrive at uneven times. Causes cancel in part: the total is at most the sum of the three.",
    "errors.csv of a conversion",
    prepare,
    draw,
    detail=True,
)
