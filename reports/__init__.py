"""Records in, answers out: measures, tables, figures and the page, from files alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

    from reports.frame import Study
    from reports.notebook import Source

__all__ = ["draw", "load", "study", "table"]


def load(directory: str | Path) -> pandas.DataFrame:
    """The records of a study: one row per case and timestep (columns: `reports.frame.COLUMNS`)."""
    return study(directory).records


def study(directory: str | Path) -> Study:
    """A study with everything its directory holds: records, layers, histories, cases."""
    from reports import frame

    return frame.load(directory)


def draw(
    name: str,
    study: Source,
    ax: Axes | None = None,
    panel: str | None = None,
    size: str = "column",
) -> Any:
    """Draw a figure onto `ax`, or whole, as a matplotlib Figure (`reports.notebook.draw`)."""
    from reports import notebook

    return notebook.draw(name, study, ax, panel, size)


def table(name: str, study: Source) -> pandas.DataFrame:
    """A table of the report as raw numbers (`reports.notebook.table`)."""
    from reports import notebook

    return notebook.table(name, study)
