"""Output currents of one image over time (Ledinauskas 2020, fig. 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, empty
from reports.figures.traces import traces
from reports.style import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Current of every output neuron at every step, for the first case of each method."""
    rows = []
    for facts, arrays in traces(analysis, "currents"):
        currents, label = arrays["currents"], int(arrays["label"])
        for step in range(currents.shape[0]):
            for output in range(currents.shape[1]):
                rows.append(
                    facts
                    | {
                        "timestep": step + 1,
                        "output": output,
                        "current": float(currents[step, output]),
                        "right": output == label,
                    }
                )
    return pd.DataFrame(rows) if rows else empty()


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One method: the output of the image's label stands out."""
    for output, own in rows.groupby("output"):
        right = bool(own["right"].iloc[0])
        ax.plot(
            own["timestep"],
            own["current"],
            color="#D55E00" if right else GREY,
            linewidth=2.0 if right else 0.7,
            alpha=1.0 if right else 0.7,
            zorder=3 if right else 2,
            label=f"label {output}" if right else None,
        )
    ax.plot([], [], color=GREY, linewidth=0.7, label="other outputs")
    ax.locator_params(axis="x", integer=True)
    ax.set_xlabel("timestep")
    ax.set_ylabel("output current")


FIGURE = Figure(
    "output-currents",
    "Output currents of one image",
    "Current of each output neuron over time; the image's own label stands out.",
    "traces.npz with currents",
    prepare,
    draw,
    detail=True,
)
