"""Spikes per neuron by layer (Zheng 2021, fig. 6; Lee 2020, fig. 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, each, empty, identity, look_of, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Spikes per neuron and image at the T each method is reported at, hidden layers only."""
    layers = analysis.study.layers
    if layers is None:
        return empty()
    layers = layers[(layers["kind"] == "hidden") & (layers["neurons"] > 0)]
    rows = []
    for curve in analysis.curves:
        own = layers[
            layers["case"].isin(curve.cases) & (layers["timestep"] == curve.report_timestep)
        ]
        if curve.arm == "ann" or own["spikes_per_image"].isna().all():
            continue
        rates = own["spikes_per_image"] / own["neurons"]
        for place, (name, values) in enumerate(rates.groupby(own["layer"], sort=False)):
            row = identity(curve) | {"layer": name, "place": place + 1}
            row |= {"latency": curve.report_latency}
            rows.append(row | spread("spikes_per_neuron", values.to_numpy()))
    return pd.DataFrame(rows) if rows else empty()


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One network: rows as `prepare` gives them."""
    for label, own in each(rows):
        name = f"{label} at T = {own['latency'].iloc[0]}"
        ax.plot(own["place"], own["spikes_per_neuron"], label=name, **look_of(own))
    places = rows.drop_duplicates("place")
    short = len(places) <= 6
    names = places["layer"] if short else places["place"]
    ax.set_xticks(places["place"], [str(name) for name in names])
    ax.set_xlabel("hidden layer")
    ax.set_ylabel("spikes per neuron and image")
    ax.set_ylim(bottom=0)


FIGURE = Figure(
    "layer-spikes",
    "Spikes per neuron by layer",
    "Mean spikes of a neuron in each hidden layer.",
    "layers.csv",
    prepare,
    draw,
    detail=True,
    reported=True,
)
