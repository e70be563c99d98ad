"""Speedup of direct training over each conversion, iso and max (Lee 2020, table 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, empty, identity, whisker
from reports.iso import Estimate
from reports.metrics import NotReached
from reports.style import look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SENSES = {"iso": "", "max": "////"}


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Both speedups of every conversion; the value is NaN where the target was not reached."""
    rows = []
    for found in analysis.paces.values():
        for pace in found:
            for sense, estimate in (("iso", pace.iso_speedup), ("max", pace.max_speedup)):
                if estimate is not None:
                    row = identity(pace.curve) | {"sense": sense, "speedup": _end(estimate.value)}
                    rows.append(row | _ends(estimate))
    return pd.DataFrame(rows) if rows else empty()


def _ends(estimate: Estimate) -> dict[str, float]:
    return {"low": _end(estimate.low), "high": _end(estimate.high)}


def _end(value: object) -> float:
    return float("nan") if value is None or isinstance(value, NotReached) else float(str(value))


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One network: two bars per conversion with 95 % whiskers, arrows where their upper end is not
    reached; words where the speedup itself is not."""
    labels = list(rows["label"].unique())
    for offset, (sense, hatch) in zip((-0.2, 0.2), SENSES.items(), strict=True):
        own = rows[rows["sense"] == sense].set_index("label").reindex(labels)
        colours = [look(m, "converted", int(v)).colour for m, v in zip(
            own["method"], own["variant"], strict=True)]  # fmt: skip
        places = [place + offset for place in range(len(labels))]
        ax.bar(
            places,
            own["speedup"].fillna(0),
            width=0.38,
            color=colours if not hatch else "white",
            edgecolor=colours,
            hatch=hatch,
        )
        for place, value, low, high in zip(
            places, own["speedup"], own["low"], own["high"], strict=True
        ):
            if pd.isna(value):
                ax.text(
                    place,
                    0,
                    " not reached",
                    rotation=90,
                    ha="center",
                    va="bottom",
                    size="x-small",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
                )
            else:
                whisker(ax, place, low, high, "black")
    ax.bar([0], [0], color="#767676", label="iso: to the direct network's best accuracy")
    ax.bar([0], [0], color="white", edgecolor="#767676", hatch="////", label="max: to its own best")
    ax.axhline(1, color="black", linewidth=0.7)
    ax.set_xticks(range(len(labels)), labels)
    ax.grid(visible=False, axis="x")
    ax.set_xlabel("conversion")
    ax.set_ylabel("steps converted / steps direct")


FIGURE = Figure(
    "speedups",
    "Speedup of direct training",
    "Steps of each conversion over steps of the direct network; whiskers: 95 % bootstrap; arrow: "
    "no upper end, as the conversion does not get there in every resample.",
    "a conversion and a direct training of one network",
    prepare,
    draw,
    detail=True,
)
