"""Tables of a study, one per file: `summary(study)` and its siblings give a `Table`."""

from __future__ import annotations

from reports.analysis import Analysis, analyse
from reports.frame import Study
from reports.tables.accuracy_table import accuracy_at
from reports.tables.cells import Cell, Column, Table
from reports.tables.difference_table import differences
from reports.tables.energy_table import energies
from reports.tables.iso_table import iso
from reports.tables.paper_table import paper
from reports.tables.summary_table import summary
from reports.tables.timestep_table import over_grid
from reports.tables.training_time_table import training_times

NAMES = (
    "summary", "iso-accuracy", "accuracy-at-T", "tests", "tests-over-T", "energy", "training-time",
    "paper",
)  # fmt: skip
"""What the files of tables are called."""

__all__ = [
    "NAMES",
    "Cell",
    "Column",
    "Table",
    "accuracy_at",
    "all_tables",
    "differences",
    "energies",
    "iso",
    "over_grid",
    "paper",
    "summary",
    "training_times",
]


def all_tables(study: Study | Analysis) -> tuple[Table, ...]:
    """Every table of a study that has rows, in the order of the page.

    Published numbers beside ours come first: a study that has them is read for these.
    """
    analysis = analyse(study)
    makers = (paper, summary, iso, accuracy_at, differences, over_grid, energies, training_times)
    return tuple(table for make in makers if (table := make(analysis)) is not None and table.rows)
