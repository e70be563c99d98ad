"""Rows to a whole figure: its panels side by side under one legend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports.figures.base import Figure
from reports.style import SIZES, Size, settings

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MOST_COLUMNS = 3
LEGEND_ROW = 0.17
"""Height of a row of the legend in inches at the text size of a paper column."""


def render(figure: Figure, rows: pd.DataFrame, size: Size = SIZES["column"]) -> Canvas:
    """Draw every panel of a figure; rows as its `prepare` gives them, at least one."""
    import matplotlib
    from matplotlib.figure import Figure as MatplotlibFigure

    panels = list(rows["panel"].unique())
    columns = min(len(panels), MOST_COLUMNS)
    lines = -(-len(panels) // columns)
    width = size.width * (1.0 if columns == 1 else 0.82 * columns)
    height = size.height * figure.aspect * lines
    with matplotlib.rc_context(settings(size.scale)):
        canvas = MatplotlibFigure(figsize=(width, height), layout="constrained")
        grid = canvas.subplots(lines, columns, squeeze=False).ravel()
        for panel, ax in zip(panels, grid, strict=False):
            figure.draw(rows[rows["panel"] == panel], ax)
            ax.set_title(panel, loc="left")
        for ax in grid[len(panels) :]:
            ax.set_axis_off()
        if figure.legend:
            _legend(canvas, list(grid[: len(panels)]), size)
    return canvas


def _legend(canvas: Canvas, axes: list[Axes], size: Size) -> None:
    """Every label once, below the panels; the figure grows by the rows of the legend."""
    entries: dict[str, Artist] = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        for handle, label in zip(handles, labels, strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    width, height = canvas.get_size_inches()
    longest = max(len(label) for label in entries)
    entry_width = (0.62 + 0.062 * longest) * size.scale
    columns = max(1, min(len(entries), int(width / entry_width)))
    lines = -(-len(entries) // columns)
    canvas.set_size_inches(width, height + lines * LEGEND_ROW * size.scale)
    canvas.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=columns)
