"""Confusion matrices of the best direct and the best converted network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.analysis import Analysis
from reports.best import best_converted, best_direct
from reports.curves import Curve
from reports.figures.base import Figure, empty, identity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES = 20


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Share of each label's images given each answer, over seeds, at the report T."""
    parts = []
    for items in analysis.networks.values():
        for curve in (best_direct(items), best_converted(items)):
            if curve is not None:
                parts += _rows(analysis, curve)
    return pd.DataFrame(parts) if parts else empty()


def _rows(analysis: Analysis, curve: Curve) -> list[dict[str, object]]:
    pairs = [_answers(analysis, name, curve.report_timestep) for name in curve.cases]
    known = [pair for pair in pairs if pair is not None]
    if len(known) < len(pairs):
        return []
    labels, predicted = (np.concatenate(side) for side in zip(*known, strict=True))
    classes = int(max(labels.max(), predicted.max())) + 1
    if classes > MOST_CLASSES:
        return []
    counts = np.zeros((classes, classes))
    np.add.at(counts, (labels, predicted), 1)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    panel = f"{curve.network}, {curve.label} at T = {curve.report_latency}"
    return [
        identity(curve) | {"panel": panel, "true": true, "answer": answer, "share": float(share)}
        for (true, answer), share in np.ndenumerate(shares)
    ]


def _answers(analysis: Analysis, name: str, timestep: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Labels and answers of one case at T: [images] each; None where it kept none."""
    case = analysis.study.cases.get(name)
    kept = case.correctness if case is not None else None
    if kept is None:
        return None
    place = np.flatnonzero(kept.timesteps == timestep)
    return (kept.labels, kept.predicted[place[0]]) if place.size else None


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One network: errors in percent of the label's images; bold on the diagonal: right."""
    table = rows.pivot(index="true", columns="answer", values="share").to_numpy() * 100
    errors = np.where(np.eye(len(table), dtype=bool), 0.0, table)
    top = max(1.0, float(errors.max()))
    ax.imshow(errors, cmap="Greys", vmin=0, vmax=1.6 * top)
    for (true, answer), value in np.ndenumerate(table):
        if true == answer:
            ax.text(
                answer,
                true,
                f"{value:.1f}",
                ha="center",
                va="center",
                size="xx-small",
                weight="bold",
            )
        elif value > 0:
            colour = "white" if value > top else "black"
            ax.text(
                answer,
                true,
                f"{value:.1f}",
                ha="center",
                va="center",
                size="xx-small",
                color=colour,
            )
    ax.set_xticks(range(len(table)))
    ax.set_yticks(range(len(table)))
    ax.grid(visible=False)
    ax.set_xlabel("answer")
    ax.set_ylabel("label")


FIGURE = Figure(
    "confusion",
    "Confusion matrices",
    "Percent of each label's test images given each answer; bold on the diagonal: answered right. "
    "Blank: 0; the diagonal has no shade.",
    "per-image results with at most 20 classes",
    prepare,
    draw,
    aspect=1.3,
    legend=False,
    detail=True,
)
