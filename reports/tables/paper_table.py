"""Published numbers beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports import numbers
from reports.analysis import Analysis, analyse
from reports.curves import Curve
from reports.frame import Study
from reports.metrics import METRICS
from reports.tables.cells import (
    MISSING,
    Cell,
    Column,
    Table,
    accuracy_cell,
    measure_cell,
    name_cell,
    number,
)


def paper(study: Study | Analysis) -> Table | None:
    """Published numbers beside ours; None where the study file names none.

    A [[paper]] row: method, measure (a column of the records, default accuracy), value, unit,
    source; and optionally dataset, architecture, timestep, label.
    """
    analysis = analyse(study)
    papers = analysis.study.papers
    if not papers:
        return None
    rows = tuple(_paper_row(row, analysis.curves) for row in papers)
    columns = (
        Column("What"),
        Column("T", "steps"),
        Column("Paper"),
        Column("Ours"),
        Column("Source"),
    )
    notes = ("A dash: this study has no such case, or the measure is not in the records.",)
    return Table("paper", "Paper and ours", columns, rows, notes)


def _paper_row(row: Mapping[str, Any], items: Sequence[Curve]) -> tuple[Cell, ...]:
    found = [
        curve
        for curve in items
        if curve.method == row.get("method", curve.method)
        and curve.architecture == row.get("architecture", curve.architecture)
        and curve.dataset == row.get("dataset", curve.dataset)
    ]
    measure = str(row.get("measure", "accuracy"))
    curve = found[0] if found else None
    timestep = row.get("timestep", curve.report_timestep if curve else None)
    known = curve is not None and timestep in curve.timesteps and measure in METRICS
    ours = MISSING
    if known and curve is not None and timestep is not None:
        if measure == "accuracy":
            ours = accuracy_cell(curve, int(timestep))
        else:
            ours = measure_cell(curve, measure, int(timestep), numbers.count)
    words = [row.get("architecture"), row.get("dataset"), row.get("method")]
    label = str(row.get("label") or " ".join(str(word) for word in words if word))
    unit = str(row.get("unit", ""))
    return (
        name_cell(f"{label}, {measure}"),
        MISSING if not timestep else number(float(timestep), numbers.steps),
        Cell(f"{row['value']} {unit}".strip(), row["value"]) if "value" in row else MISSING,
        ours,
        name_cell(str(row.get("source", ""))),
    )
