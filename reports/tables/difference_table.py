"""Paired differences and their tests."""

from __future__ import annotations

from reports.analysis import Analysis, analyse
from reports.curves import Curve
from reports.frame import Study
from reports.tables.cells import Column, Table, difference_cell, name_cell, p_cell, shown_at_end


def differences(study: Study | Analysis) -> Table:
    """Paired differences and their tests."""
    analysis = analyse(study)
    rows = tuple(
        (
            name_cell(test.first.network),
            name_cell(_at(test.first)),
            name_cell(_at(test.second)),
            difference_cell(test),
            p_cell(test.test.p),
            p_cell(test.adjusted),
            name_cell(test.test.kind),
        )
        for found in analysis.comparisons.values()
        for test in found
    )
    columns = (
        Column("Network"),
        Column("First"),
        Column("Second"),
        Column("Difference", "points"),
        Column("p"),
        Column("p, Holm"),
        Column("Test"),
    )
    notes = (
        *shown_at_end(analysis.curves),
        "Every spiking method against the ANN, and the most accurate one against every other. "
        "Several seeds: paired t; one seed: McNemar on the test images. Holm's method adjusts "
        "for the number of tests in each network. Steps include observation steps. No test where "
        "all seeds differ by the same: without a spread there is none.",
    )
    return Table("tests", "Differences and tests", columns, rows, notes)


def _at(curve: Curve) -> str:
    if curve.arm == "ann":
        return curve.label
    return f"{curve.label} at T = {curve.report_latency}"
