"""Steps and spikes at equal accuracy."""

from __future__ import annotations

from reports import numbers
from reports.analysis import Analysis, analyse
from reports.frame import Study
from reports.metrics import TOLERANCES
from reports.tables.cells import (
    INTERVAL_NOTE,
    MISSING,
    TRAINED,
    Cell,
    Column,
    Table,
    best_cell,
    estimate_cell,
    name_cell,
)
from reports.words import BEST_OF_SWEEP, ISO, OWN_BEST, SPIKES_RATIO, STEPS_RATIO


def iso(study: Study | Analysis) -> Table:
    """Steps and spikes at equal accuracy, in the two senses of Lee 2020 and against the ANN."""
    rows: list[tuple[Cell, ...]] = []
    analysis = analyse(study)
    for found in analysis.paces.values():
        for pace in found:
            best = best_cell(analysis, pace)
            own = None if best is MISSING else pace
            within = pace.within or (None,) * len(TOLERANCES)
            rows.append(
                (
                    name_cell(pace.curve.network),
                    name_cell(pace.curve.label),
                    *(estimate_cell(estimate, numbers.steps) for estimate in within),
                    estimate_cell(
                        pace.trained[TOLERANCES.index(1.0)] if pace.trained else None, numbers.steps
                    ),
                    estimate_cell(pace.iso, numbers.steps),
                    best,
                    estimate_cell(pace.iso_speedup, numbers.times),
                    estimate_cell(own.max_speedup if own else None, numbers.times),
                    estimate_cell(pace.iso_spike_efficiency, numbers.times),
                    estimate_cell(own.max_spike_efficiency if own else None, numbers.times),
                )
            )
    columns = (
        Column("Network"),
        Column("Method"),
        *(Column(f"T*({delta:g})", "steps", False) for delta in TOLERANCES),
        Column(TRAINED, "steps", False),
        Column("T iso", "steps", False),
        Column("T max", "steps"),
        Column(f"{STEPS_RATIO}, {ISO}"),
        Column(f"{STEPS_RATIO}, {OWN_BEST}"),
        Column(f"{SPIKES_RATIO}, {ISO}"),
        Column(f"{SPIKES_RATIO}, {OWN_BEST}"),
    )
    notes = (
        "T*(δ): within δ points of the ANN from there on, at every larger T of the sweep. "
        f"{TRAINED}: the same, but only up to the T a direct network was trained for. T iso: at "
        "the direct network's best accuracy from there on. T max: at the method's own best, none "
        "where even that is not above chance.",
        "Ratios of steps and spikes: Lee 2020, tables 9 and 8 (iso and max); spikes include those "
        "of the input. Ratios above 1 favour direct training. "
        f"{BEST_OF_SWEEP}",
        INTERVAL_NOTE,
    )
    return Table("iso-accuracy", "Steps at equal accuracy", columns, tuple(rows), notes)
