"""Accuracy along the sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.analysis import Analysis, analyse
from reports.curves import Curve
from reports.frame import Study
from reports.tables.cells import INTERVAL_NOTE, MISSING, Column, Table, accuracy_cell, name_cell


def timestep_grid(items: Sequence[Curve]) -> list[int]:
    """Powers of two of T that any of the curves has, and the largest T of all."""
    largest = max((int(c.timesteps[-1]) for c in items), default=0)
    known = {int(t) for curve in items for t in curve.timesteps}
    grid = [2**k for k in range(largest.bit_length()) if 2**k in known]
    return grid + ([largest] if largest not in grid else [])


def accuracy_at(study: Study | Analysis) -> Table:
    """Accuracy of every method at powers of two of T, and at the largest T."""
    items = [curve for curve in analyse(study).curves if curve.arm != "ann"]
    grid = timestep_grid(items)
    rows = tuple(
        (
            name_cell(curve.network),
            name_cell(curve.label),
            *(accuracy_cell(curve, t) if t in curve.timesteps else MISSING for t in grid),
        )
        for curve in items
    )
    before = {c.label: c.calibration_timesteps for c in items if c.calibration_timesteps}
    notes = (INTERVAL_NOTE, *steps_before(before))
    columns = (Column("Network"), Column("Method"), *(Column(f"T = {t}", "%", True) for t in grid))
    return Table("accuracy-at-T", "Accuracy at T", columns, rows, notes)


def steps_before(counts: Mapping[str, int]) -> tuple[str, ...]:
    """What T leaves out: method -> its observation steps."""
    steps = ", ".join(f"{label} {count}" for label, count in counts.items())
    return (f"T: the steps after the observation steps ({steps}).",) if steps else ()
