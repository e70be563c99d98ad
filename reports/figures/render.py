"""Rows to a whole figure: its panels side by side under one legend."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from reports.analysis import Analysis
from reports.curves import family_of
from reports.figures.base import Figure
from reports.style import SIZES, Size, settings

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MOST_COLUMNS = 3
MOST_PANELS = 4
LEGEND_ROW = 0.17
"""Height of a row of the legend in inches at the text size of a paper column."""
LETTER = 0.08
"""Width of a letter of a title in inches at that size; the axis takes some of the panel, too."""


def render(figure: Figure, rows: pd.DataFrame, size: Size = SIZES["column"]) -> Canvas:
    """Draw every panel of a figure; rows as its `prepare` gives them, at least one."""
    import matplotlib
    from matplotlib.figure import Figure as MatplotlibFigure

    panels = list(rows["panel"].unique())
    columns = 2 if len(panels) == 4 else min(len(panels), MOST_COLUMNS)
    lines = -(-len(panels) // columns)
    width = size.width * (1.0 if columns == 1 else 0.82 * columns)
    height = size.height * figure.aspect * lines
    with matplotlib.rc_context(settings(size.scale)):
        canvas = MatplotlibFigure(figsize=(width, height), layout="constrained")
        grid = canvas.subplots(lines, columns, squeeze=False).ravel()
        for panel, ax in zip(panels, grid, strict=False):
            figure.draw(rows[rows["panel"] == panel], ax)
            for drawn in (*ax.lines, *ax.collections, *ax.patches):
                drawn.set_in_layout(False)  # what is clipped to the axes needs no room of its own
            ax.set_title(_folded(panel, width / columns / size.scale), loc="left", y=1.0)
        for ax in grid[len(panels) :]:
            ax.set_axis_off()
        if figure.legend:
            _legend(canvas, list(grid[: len(panels)]), size)
    return canvas


def _folded(title: str, width: float) -> str:
    """A title in lines no wider than its panel, which is so many inches wide at RC's text size."""
    title = title.replace("T = ", "T\u00a0=\u00a0")  # a number stays with its sign
    return textwrap.fill(title, int(width / LETTER), break_long_words=False, break_on_hyphens=False)


def leading(
    figure: Figure, rows: pd.DataFrame, analysis: Analysis, most: int = MOST_PANELS
) -> tuple[pd.DataFrame, str]:
    """Rows of no more panels than a page can show, and a sentence on what was left out.

    Of more than two networks of one family, a figure of details keeps the shallowest and the
    deepest. Where methods have a panel each and there are too many, those of each network's (of a
    family, the deepest one's) most accurate method of each arm stay. Panels that are not a
    network's (of a family, of an option) all stay.
    """
    panels = rows["panel"].nunique()
    if panels <= most and not figure.detail:
        return rows, ""
    networks = _ends(analysis) if figure.detail else list(analysis.networks)
    ends = len(networks) < len(analysis.networks)
    shown = rows[_any_of(rows, networks)]
    if shown.empty:
        return rows, ""
    few = shown["panel"].nunique() <= most
    by_method = rows.groupby("panel", sort=False)["label"].nunique().max() == 1
    if by_method and not few:
        shown = _best(shown, analysis, networks[-1:] if ends else networks)
    if shown["panel"].nunique() == panels:
        return rows, ""
    whose = "the shallowest and the deepest network"
    if by_method and not few:
        whose = (
            f"the most accurate method of each kind on {'the deepest' if ends else 'each'} network"
        )
    return shown.reset_index(drop=True), f" Of {panels} panels, those of {whose}."


def _best(rows: pd.DataFrame, analysis: Analysis, networks: Sequence[str]) -> pd.DataFrame:
    """The rows of each network's most accurate method of each arm."""
    kept = []
    for network in networks:
        for arm in ("converted", "direct"):
            own = [curve for curve in analysis.networks[network] if curve.arm == arm]
            own = [c for c in own if ((rows["label"] == c.label) & _of(rows, network)).any()]
            if own:
                best = max(own, key=lambda c: float(c.accuracy[c.index(c.report_timestep)]))
                kept.append(rows[(rows["label"] == best.label) & _of(rows, network)])
    return pd.concat(kept)


def _ends(analysis: Analysis) -> list[str]:
    """The shallowest and the deepest of more than two networks of one family; else all."""
    networks = analysis.networks
    families = {(curve.dataset, family_of(curve)) for curve in analysis.curves}
    if len(networks) <= 2 or len(families) > 1:
        return list(networks)
    by_depth = sorted(networks, key=lambda name: networks[name][0].depth or 0)
    return [by_depth[0], by_depth[-1]]


def _any_of(rows: pd.DataFrame, networks: Sequence[str]) -> pd.Series:
    """Which rows belong to one of the networks."""
    kept = pd.Series(False, index=rows.index)
    for network in networks:
        kept |= _of(rows, network)
    return kept


def _of(rows: pd.DataFrame, network: str) -> pd.Series:
    """Which rows belong to a network: their panel is named after it."""
    panels = rows["panel"].unique()
    own = [name for name in panels if name == network or str(name).startswith(f"{network}, ")]
    return rows["panel"].isin(own)


def _by_value(entry: tuple[str, Artist]) -> float:
    """Values of one parameter in their order, everything else as it comes (a sort keeps it)."""
    number = re.fullmatch(r"\w+ = (\d[\d.e+-]*)", entry[0])
    return float(number.group(1)) if number else -math.inf


def _legend(canvas: Canvas, axes: list[Axes], size: Size) -> None:
    """Every label once, below the panels; the figure grows by the rows of the legend."""
    entries: dict[str, Artist] = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        for handle, label in zip(handles, labels, strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    entries = dict(sorted(entries.items(), key=_by_value))
    width, height = canvas.get_size_inches()
    longest = max(len(label) for label in entries)
    entry_width = (0.62 + 0.062 * longest) * size.scale
    columns = max(1, min(len(entries), int(width / entry_width)))
    lines = -(-len(entries) // columns)
    canvas.set_size_inches(width, height + lines * LEGEND_ROW * size.scale)
    canvas.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=columns)
