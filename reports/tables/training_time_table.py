"""What it took to get there: seconds of training, and the accuracy that they bought at T ≤ 4."""

from __future__ import annotations

from reports import numbers
from reports.analysis import Analysis, analyse
from reports.curves import Curve
from reports.durations import making
from reports.frame import Case, Study
from reports.tables.cells import (
    INTERVAL_NOTE,
    MISSING,
    Cell,
    Column,
    Table,
    accuracy_cell,
    name_cell,
    number,
    spread_cell,
)

LATENCY = 4  # steps that an answer may take, observation included


def training_times(study: Study | Analysis) -> Table:
    """Wall-clock seconds of training and conversion of every method, its ANN's included."""
    analysis = analyse(study)
    times = [(c, [total(analysis.study, case) for case in c.cases]) for c in analysis.curves]
    rows = tuple(_row(c, seconds, analysis.study) for c, seconds in times if None not in seconds)
    columns = (
        Column("Network"),
        Column("Method"),
        Column("Training", "", False, raw="s"),
        Column("of it the ANN", "", False, raw="s"),
        Column("T", "steps"),
        Column(f"Accuracy within {LATENCY} steps", "%", True),
    )
    notes = (
        "Training: wall clock of training and conversion, the ANN's included where a method starts "
        "from one; no sweep. On the machine of the provenance: cases side by side slow each other.",
        f"T: of the direct training, else the largest of the sweep; at most {LATENCY}, observation "
        "steps included.",
        INTERVAL_NOTE,
    )
    return Table("training-time", "Training time", columns, rows, notes)


def total(study: Study, case: str) -> float | None:
    """Seconds that a case's network took to make, from nothing; None where that is not known."""
    found = study.cases.get(case)
    if found is None:
        return None
    own, ann = making(found), ann_seconds(study, found)
    return None if own is None or ann is None else own + ann


def ann_seconds(study: Study, case: Case) -> float | None:
    """Seconds of the ANN that a case starts from: 0 without one, None where it is not known."""
    name = case.facts.get("ann_case")
    if name is None:
        return 0.0
    return making(study.cases[name]) if name in study.cases else None


def _row(curve: Curve, seconds: list[float | None], study: Study) -> tuple[Cell, ...]:
    known = [second for second in seconds if second is not None]
    anns = [ann_seconds(study, study.cases[case]) or 0.0 for case in curve.cases]
    last = answer_timestep(curve)
    answer = None if last is None or curve.arm == "ann" else last + curve.calibration_timesteps
    return (
        name_cell(curve.network),
        name_cell(curve.label),
        spread_cell(known, numbers.seconds),
        spread_cell(anns, numbers.seconds) if any(anns) else MISSING,
        MISSING if answer is None else number(answer, numbers.steps),
        MISSING if last is None else accuracy_cell(curve, last),
    )


def answer_timestep(curve: Curve) -> int | None:
    """T of the answer within LATENCY: that of the training where it is, else the largest."""
    within = curve.timesteps[curve.latency <= LATENCY].tolist()
    if curve.report_timestep in within:
        return curve.report_timestep
    return max(within, default=None)
