"""The best direct and the best converted network at equal T."""

from __future__ import annotations

from reports import numbers
from reports.analysis import Analysis, analyse
from reports.best import best_converted, best_direct
from reports.frame import Study
from reports.significance import over_timesteps
from reports.tables.accuracy_table import steps_before, timestep_grid
from reports.tables.cells import Column, Table, difference_cell, name_cell, number, p_cell


def over_grid(study: Study | Analysis) -> Table:
    """Paired differences of direct and converted network at powers of two of T, Holm over them."""
    analysis = analyse(study)
    rows, before = [], {}
    for name, items in analysis.networks.items():
        direct, converted = best_direct(items), best_converted(items)
        if direct is None or converted is None:
            continue
        if converted.calibration_timesteps:
            before[converted.label] = converted.calibration_timesteps
        grid = timestep_grid([direct, converted])
        for timestep, test in over_timesteps(analysis.study, direct, converted, grid).items():
            rows.append(
                (
                    name_cell(name),
                    name_cell(direct.label),
                    name_cell(converted.label),
                    number(timestep, numbers.steps),
                    difference_cell(test),
                    p_cell(test.test.p),
                    p_cell(test.adjusted),
                    name_cell("yes" if test.significant else "no"),
                )
            )
    columns = (
        Column("Network"),
        Column("Direct"),
        Column("Converted"),
        Column("T", "steps"),
        Column("Direct − converted", "points"),
        Column("p"),
        Column("p, Holm"),
        Column("Differs"),
    )
    notes = [
        "The directly trained network with the highest accuracy at its training T, and the "
        "conversion with the highest at its largest T (of equals, the one with the smallest T*(1 "
        "point)), both read at the same T. Several seeds: "
        "paired t; one seed: McNemar on the test images. Holm's method adjusts over the T shown "
        "of each network; “yes”: adjusted p < 0.05.",
        *steps_before(before),
    ]
    return Table("tests-over-T", "Differences over T", columns, tuple(rows), tuple(notes))
