"""Published numbers beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports import numbers
from reports.analysis import Analysis, analyse
from reports.frame import Study
from reports.tables.cells import MISSING, Cell, Column, Table, name_cell, number
from reports.tables.paper_measures import BEST_ACCURACY, OF_PACE, PAPER_MEASURES, best, cell_of
from reports.words import BEST_OF_SWEEP

KEYS = ("dataset", "architecture", "method", "train_timesteps")
"""By what a row chooses one of our curves; what it leaves out may be anything."""


def paper(study: Study | Analysis) -> Table | None:
    """Published numbers beside ours; None where the study file names none.

    A [[paper]] row: any of KEYS, measure (of PAPER_MEASURES, default accuracy), value, unit,
    source; and optionally timestep (default: the T at which the method is reported) and label.
    """
    analysis = analyse(study)
    papers = analysis.study.papers
    if not papers:
        return None
    rows = tuple(_paper_row(row, analysis) for row in papers)
    columns = (
        Column("What"),
        Column("T", "steps"),
        Column("Paper"),
        Column("Ours"),
        Column("Source"),
    )
    notes = ["A dash: this study has no such case, or the measure is not in the records."]
    if any(_measure(row) in OF_PACE for row in papers):
        notes.append(BEST_OF_SWEEP)
    notes += [f"Unlike the source: {phrase}." for phrase in analysis.study.differences]
    return Table("paper", "Paper and ours", columns, rows, tuple(notes))


def _measure(row: Mapping[str, Any]) -> str:
    return str(row.get("measure", "accuracy"))


def _paper_row(row: Mapping[str, Any], analysis: Analysis) -> tuple[Cell, ...]:
    wanted = {key: row[key] for key in KEYS if key in row}
    found = [
        curve
        for curve in analysis.curves
        if all(getattr(curve, key) == value for key, value in wanted.items())
    ]
    measure = _measure(row)
    curve = found[0] if found else None
    timestep = row.get("timestep", curve.report_timestep if curve else None)
    ours = MISSING
    if curve is not None and timestep in curve.timesteps and measure in PAPER_MEASURES:
        ours = cell_of(measure, curve, int(timestep or 0), analysis)
        if measure == BEST_ACCURACY:
            timestep = best(curve)
    if measure in OF_PACE:
        timestep = None  # steps and ratios are read where they say, not at one T
    words = [row.get("architecture"), row.get("dataset"), row.get("method")]
    label = str(row.get("label") or " ".join(str(word) for word in words if word))
    unit = str(row.get("unit", ""))
    return (
        name_cell(f"{label}, {measure.replace('_', ' ')}{f' ({unit})' if unit else ''}"),
        MISSING if not timestep else number(float(timestep), numbers.steps),
        Cell(str(row["value"]), row["value"]) if "value" in row else MISSING,
        ours,
        name_cell(str(row.get("source", ""))),
    )
