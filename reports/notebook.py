"""Figures and tables for a notebook: onto axes of the reader's, and as DataFrames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

import reports
from reports.analysis import Analysis
from reports.figures import FIGURES, render
from reports.frame import Study
from reports.lookup import lookup
from reports.style import SIZES, settings
from reports.tables import all_tables
from reports.writers import to_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Source = Study | Analysis | str | Path
"""A study, its analysis (reused from call to call), or its directory."""


class NoDataError(ValueError):
    """A figure or table for which the study has no data."""


def draw(
    name: str,
    study: Source,
    ax: Axes | None = None,
    panel: str | None = None,
    size: str = "column",
) -> Any:
    """Draw the figure `name` (see `isospike list figures`).

    With `ax`, one panel is drawn onto these axes, with its labels, and they are returned: `panel`
    by its title, by default the first. Without, a whole matplotlib Figure is returned: every
    panel (or the one named) under one legend, at `size` column or slide.
    Raises UnknownNameError for a name or panel that there is none of, NoDataError where the study
    lacks the data.
    """
    import matplotlib

    figure = lookup(FIGURES, "figure", name)
    rows = figure.prepare(_analysis(study))
    if not len(rows):
        raise NoDataError(f"figure {name!r} needs {figure.needs}; the study has none")
    panels = list(dict.fromkeys(rows["panel"]))
    if panel is not None or ax is not None:
        chosen = panels[0] if panel is None else lookup({p: p for p in panels}, "panel", panel)
        rows = rows[rows["panel"] == chosen]
    if ax is None:
        return render(figure, rows, lookup(SIZES, "size", size))
    with matplotlib.rc_context(settings(lookup(SIZES, "size", size).scale)):
        figure.draw(rows, ax)
    return ax


def table(name: str, study: Source) -> pd.DataFrame:
    """The table `name` as a DataFrame of raw numbers with intervals: summary, iso-accuracy, …"""
    tables = {made.name: made for made in all_tables(_analysis(study))}
    return to_frame(lookup(tables, "table", name))


def _analysis(study: Source) -> Analysis:
    if isinstance(study, Analysis):
        return study
    return Analysis(study if isinstance(study, Study) else reports.study(study))
