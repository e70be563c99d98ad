"""Timesteps of training against timesteps of inference (Ledinauskas 2020, fig. 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports.analysis import Analysis
from reports.figures.base import Figure, empty, identity

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Accuracy of direct networks by training T and inference T, where several were trained."""
    rows = []
    for network, items in analysis.networks.items():
        direct = [c for c in items if c.arm == "direct" and c.train_timesteps is not None]
        for method in {curve.method: None for curve in direct}:
            own = [curve for curve in direct if curve.method == method]
            if len({curve.train_timesteps for curve in own}) < 2:
                continue
            for curve in own:
                for timestep, accuracy in zip(curve.timesteps, curve.accuracy, strict=True):
                    rows.append(
                        identity(curve)
                        | {
                            "panel": f"{network}, {method}",
                            "train_timesteps": curve.train_timesteps,
                            "timestep": int(timestep),
                            "accuracy": float(accuracy),
                            "n": len(curve.seeds),
                        }
                    )
    return pd.DataFrame(rows) if rows else empty()


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One method on one network: accuracy in percent in every cell, powers of two of T."""
    import seaborn

    largest = int(rows["timestep"].max())
    trained = {int(t) for t in rows["train_timesteps"]}
    grid = {2**k for k in range(largest.bit_length())} | trained | {largest}
    chosen = rows[rows["timestep"].isin(grid)]
    table = chosen.pivot_table(index="train_timesteps", columns="timestep", values="accuracy")
    seaborn.heatmap(
        table * 100,
        ax=ax,
        annot=True,
        fmt=".1f",
        cmap="cividis",
        cbar=False,
        linewidths=0.5,
        annot_kws={"size": "small"},
    )
    ax.grid(visible=False)
    ax.set_xlabel("timesteps T of inference")
    ax.set_ylabel("timesteps of training")
    ax.tick_params(axis="y", rotation=0)


FIGURE = Figure(
    "training-timesteps",
    "Training and inference timesteps",
    "Accuracy in percent for every T of training and of inference, mean over seeds.",
    "direct training at several T",
    prepare,
    draw,
    legend=False,
)
