"""Accuracy against energy, with the front that no other point beats in both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import (
    Figure,
    accuracy_axis,
    count_axis,
    each,
    energy_scale,
    look_of,
    sweep_rows,
)
from reports.figures.lines import band
from reports.style import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Accuracy and energy at every T; `front`: no point of the network beats it in both."""
    rows = sweep_rows(analysis.curves, ["accuracy", "energy_pj_per_image"])
    rows = rows.dropna(subset="energy_pj_per_image")
    rows = rows[rows["energy_pj_per_image"] > 0]
    rows = rows.rename(columns={"energy_pj_per_image": "energy_pj"})
    parts = [own.assign(front=on_front(own)) for _, own in rows.groupby("panel", sort=False)]
    return pd.concat(parts, ignore_index=True) if parts else rows


def on_front(rows: pd.DataFrame) -> np.ndarray:
    """Whether each row is Pareto optimal: less energy always means less accuracy. [rows]"""
    ordered = rows.reset_index(drop=True).sort_values(
        ["energy_pj", "accuracy"], ascending=[True, False]
    )
    best = ordered["accuracy"].cummax().shift(fill_value=-1.0)
    flags = np.zeros(len(rows), dtype=bool)
    flags[ordered.index[ordered["accuracy"] > best]] = True
    return flags


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One network: a line per method over its T, every ANN as a star, the front in grey."""
    size, unit = energy_scale(rows["energy_pj"])
    rows = rows.assign(energy=rows["energy_pj"] / size)
    front = rows[rows["front"]].sort_values("energy")
    ax.step(front["energy"], front["accuracy"] * 100, where="post", color=GREY, linewidth=4,
            alpha=0.3, label="front")  # fmt: skip
    for label, own in each(rows):
        if own["arm"].iloc[0] == "ann":
            ax.plot(own["energy"], own["accuracy"] * 100, linestyle="none", marker="*",
                    markersize=9, color=look_of(own)["color"], label=label)  # fmt: skip
        else:
            band(ax, own, "energy", "accuracy", 100)
    count_axis(ax.xaxis, rows["energy"])
    ax.set_xlabel(f"energy per image by model ({unit})")
    accuracy_axis(ax, rows["accuracy"], rows["accuracy_low"], rows["accuracy_high"])


FIGURE = Figure(
    "energy-front",
    "Accuracy against energy",
    "Accuracy for the mean of the energy spent, one point per T; stars: the ANNs; grey: what no "
    "other point beats in both.",
    "energies",
    prepare,
    draw,
    detail=True,
    spread="band",
)
