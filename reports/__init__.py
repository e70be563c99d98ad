"""Records in, answers out: measures, tables, figures and the page, from files alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

    from reports.frame import Study

__all__ = ["load", "study"]


def load(directory: str | Path) -> pandas.DataFrame:
    """The records of a study: one row per case and timestep (columns: `reports.frame.COLUMNS`)."""
    return study(directory).records


def study(directory: str | Path) -> Study:
    """A study with everything its directory holds: records, layers, histories, cases."""
    from reports import frame

    return frame.load(directory)
