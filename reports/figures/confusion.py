"""Confusion matrices of the best direct and the best converted network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.analysis import Analysis
from reports.curves import Curve, best_direct
from reports.figures.base import Figure, empty, identity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES = 20


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Share of each label's images given each answer, over seeds, at the report T."""
    rows: list[dict[str, object]] = []
    for network, items in analysis.networks.items():
        converted = [curve for curve in items if curve.arm == "converted"]
        best = max(converted, key=lambda c: c.accuracy[-1], default=None)
        for curve in (best_direct(items), best):
            if curve is not None:
                rows += _matrix(analysis, curve, network)
    return pd.DataFrame(rows) if rows else empty()


def _matrix(analysis: Analysis, curve: Curve, network: str) -> list[dict[str, object]]:
    total: np.ndarray | None = None
    for name in curve.cases:
        case = analysis.study.cases.get(name)
        kept = case.correctness if case is not None else None
        place = np.flatnonzero(kept.timesteps == curve.report_timestep) if kept else np.array([])
        if kept is None or not place.size or kept.labels.max() >= MOST_CLASSES:
            return []
        classes = int(max(kept.labels.max(), kept.predicted[place[0]].max())) + 1
        counts = np.zeros((classes, classes))
        np.add.at(counts, (kept.labels, kept.predicted[place[0]]), 1)
        total = counts if total is None or total.shape != counts.shape else total + counts
    if total is None:
        return []
    shares = total / np.maximum(1, total.sum(axis=1, keepdims=True))
    panel = f"{network}, {curve.label} at T = {curve.report_timestep}"
    return [
        identity(curve)
        | {"panel": panel, "true": i, "answer": j, "share": float(shares[i, j])}
        for i in range(len(shares))
        for j in range(len(shares))
    ]  # fmt: skip


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One network: errors in percent of the label's images; the diagonal is left white."""
    import seaborn

    table = rows.pivot(index="true", columns="answer", values="share") * 100
    diagonal = np.eye(len(table), dtype=bool)
    seaborn.heatmap(
        table,
        ax=ax,
        mask=diagonal,
        annot=np.where(table > 0, table.round(1).astype(str), ""),
        fmt="",
        cmap="Greys",
        vmin=0,
        cbar=False,
        square=True,
        annot_kws={"size": 4.5},
    )
    for place, value in enumerate(np.diag(table)):
        ax.text(place + 0.5, place + 0.5, f"{value:.0f}", ha="center", va="center", size=5,
                weight="bold")  # fmt: skip
    ax.grid(visible=False)
    ax.set_xlabel("answer")
    ax.set_ylabel("label")
    ax.tick_params(axis="y", rotation=0)


FIGURE = Figure(
    "confusion",
    "Confusion matrices",
    "Percent of each label's test images given each answer; bold on the diagonal: answered right.",
    "per-image results with at most 20 classes",
    prepare,
    draw,
    aspect=1.35,
    legend=False,
)
