"""The summary: one row per network and method."""

from __future__ import annotations

from collections.abc import Sequence

from reports import numbers
from reports.analysis import Analysis, analyse
from reports.curves import Curve
from reports.frame import Study
from reports.iso import Pace
from reports.metrics import TOLERANCES
from reports.significance import Comparison, winner
from reports.tables.cells import (
    INTERVAL_NOTE,
    MISSING,
    TRAINED,
    Cell,
    Column,
    Table,
    accuracy_cell,
    best_cell,
    difference_cell,
    estimate_cell,
    measure_cell,
    name_cell,
    number,
    shown_at_end,
)
from reports.words import BEST_OF_SWEEP, ISO, STEPS_RATIO


def summary(study: Study | Analysis) -> Table:
    """One row per network and method, at the T the method is reported at."""
    analysis = analyse(study)
    rows: list[tuple[Cell, ...]] = []
    for name, items in analysis.networks.items():
        pace_of = {pace.curve.label: pace for pace in analysis.paces[name]}
        tests = analysis.comparisons[name]
        best = winner(tests, items)
        rows += [
            _summary_row(analysis, curve, pace_of.get(curve.label), tests, curve is best)
            for curve in items
        ]
    columns = (
        Column("Network"),
        Column("Method"),
        Column("T", "steps"),
        Column("Accuracy", "%", True),
        Column("SNN − ANN", "points", True),
        Column("Best T", "steps"),
        Column("T*(1 point)", "steps", False),
        Column(TRAINED, "steps", False),
        Column(f"{STEPS_RATIO}, {ISO}"),
        Column("Spikes per image", "", False),
        Column("ACs per image", "", False),
        Column("MACs per image", "", False),
        Column("Energy per image", "model", False, raw="pJ, model"),
    )
    notes = (
        *_shown_at(analysis.curves),
        "T*(1 point): the smallest T from which accuracy stays within 1 point of the ANN for "
        "every larger T. Steps include observation steps.",
        "Best T: the first T at the highest accuracy; none where even that is not above chance.",
        f"{TRAINED}: the same for a direct network that is never run longer than it was trained "
        "for; what happens at larger T does not count. “to T = …”: the last T before it leaves.",
        f"{STEPS_RATIO}, {ISO}: Lee 2020, table 9 (iso). Above 1 direct training takes fewer. "
        f"{BEST_OF_SWEEP}",
        "Bold: above every other spiking method of the network by a paired test, adjusted by "
        "Holm's method, p < 0.05.",
        INTERVAL_NOTE,
    )
    return Table("summary", "Summary", columns, tuple(rows), notes)


def _shown_at(curves: Sequence[Curve]) -> tuple[str, ...]:
    """At which T the rows are, of the arms that there are: one note, or none."""
    direct = [c for c in curves if c.arm == "direct"]
    cut = [c.label for c in direct if c.report_timestep != c.train_timesteps]
    text = "Direct training is shown at the T it was trained for"
    if cut:
        text += f"; the sweep ends before that T for {', '.join(dict.fromkeys(cut))}"
    said = [*([f"{text}."] if direct else []), *shown_at_end(curves)]
    return (" ".join(said),) if said else ()


def _summary_row(
    analysis: Analysis,
    curve: Curve,
    pace: Pace | None,
    tests: Sequence[Comparison],
    strong: bool,
) -> tuple[Cell, ...]:
    timestep = curve.report_timestep
    against = next((t for t in tests if t.first is curve and t.second.arm == "ann"), None)
    place = TOLERANCES.index(1.0)
    within = pace.within[place] if pace and pace.within else None
    trained = pace.trained[place] if pace and pace.trained else None
    ann = curve.arm == "ann"
    return (
        name_cell(curve.network),
        name_cell(curve.label),
        MISSING if ann else number(curve.report_latency, numbers.steps),
        accuracy_cell(curve, timestep, strong),
        difference_cell(against),
        best_cell(analysis, pace),
        estimate_cell(within, numbers.steps),
        estimate_cell(trained, numbers.steps),
        estimate_cell(pace.iso_speedup if pace else None, numbers.times),
        measure_cell(curve, "spikes_per_image", timestep, numbers.count),
        measure_cell(curve, "ac_per_image", timestep, numbers.count),
        measure_cell(curve, "mac_per_image", timestep, numbers.count),
        measure_cell(curve, "energy_pj_per_image", timestep, numbers.energy),
    )
