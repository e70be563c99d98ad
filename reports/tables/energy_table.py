"""Energy by the simple models, and where a network stands against each break-even."""

from __future__ import annotations

import numpy as np

from reports import numbers
from reports.analysis import Analysis, analyse
from reports.curves import Curve, reference
from reports.energy import (
    EnergyError,
    energy_pj_per_image,
    lemaire,
    matched_qnn,
    standing,
)
from reports.frame import Case, Study
from reports.metrics import spikes_per_synapse
from reports.tables.cells import (
    MISSING,
    Cell,
    Column,
    Table,
    measure_cell,
    name_cell,
    number,
    seeds_of,
    shown_at_end,
    spread_cell,
)

EFFECTIVE = "effective_mac_per_image"
AGAINST = "Spikes per synapse against break-even"
ABOVE = "above: the ANN costs less"
LEAKY = ("tdbn", "tet", "spike-bp", "membrane-bp", "lee2016", "lee2020", "zheng2021")


def energies(study: Study | Analysis) -> Table:
    """Energy by the simple model, against the ANN and against one with matched bits."""
    analysis = analyse(study)
    rows: list[tuple[Cell, ...]] = []
    for items in analysis.networks.values():
        ann = reference(items)
        if ann is None:
            continue
        with_memory = _lemaire(analysis, ann)
        dense = float(ann.mean("mac_per_image")[0])
        effective = _effective(analysis, ann)
        for curve in items:
            if curve.arm != "ann" and dense > 0:
                memory = MISSING if with_memory is MISSING else _lemaire(analysis, curve)
                rows.append((*_energy_row(curve, ann, effective), memory, with_memory))
    columns = (
        Column("Network"),
        Column("Method"),
        Column("T", "steps"),
        Column("Energy, horowitz-fp32", "per image", False, raw="pJ per image"),
        Column("ANN over SNN", "", True),
        Column("ANN, effective, horowitz-fp32", "per image", False, raw="pJ per image"),
        Column("Energy, horowitz-int32", "per image", False, raw="pJ per image"),
        Column("ANN, matched-qnn", "per image", False, raw="pJ per image"),
        Column("Spikes per synapse", "", False),
        *(Column(f"{AGAINST}, {model}", ABOVE) for model in standing(0.0)),
        Column("Energy, lemaire", "per image", False, raw="pJ per image"),
        Column("ANN, lemaire", "per image", False, raw="pJ per image"),
    )
    notes = (
        *shown_at_end(analysis.curves),
        "A model, never a measurement (constants: Horowitz 2014, 45 nm). Steps include "
        "observation steps; the bits of matched-qnn are those of the steps after them.",
        "ANN over SNN: of all multiply-adds of the ANN. ANN, effective: of those whose activation "
        "is not 0, as on hardware that skips the others; empty where a record does not have them.",
        "Spikes per synapse: ACs of the spiking network for each MAC of the ANN that they replace, "
        "which leaves out those that it has too (a first layer of constant input). Break-even: "
        "5.1 in the simple model, 1.38 and 0.15 with memory (Dampfhoffer 2023), 0.29 against an "
        "ANN with activations of matched bits (Yan 2024); above it the ANN costs less. "
        "matched-qnn prices arithmetic alone, to be held against horowitz-int32; the 0.29 of "
        "Yan 2024 is of another model.",
        "The model lemaire (2022) adds memory accesses and addressing, in 32-bit integers; "
        "identity shortcuts are not priced. Empty where a record has one row for several "
        "convolutions.",
    )
    return Table("energy", "Energy by model", columns, tuple(rows), notes)


def _effective(analysis: Analysis, ann: Curve) -> Cell:
    """Energy of an ANN that multiplies only what is not 0, by `horowitz-fp32`, mean over seeds."""
    values, dense = [], float(ann.mean("mac_per_image")[0])
    for name in ann.cases:
        case = analysis.study.cases.get(name)
        sweep = case.table("sweep.csv") if case is not None else None
        kept = [] if sweep is None or EFFECTIVE not in sweep else sweep[EFFECTIVE].tolist()
        if not kept or not kept[0] <= dense:  # records of old may count a pooled value many times
            return MISSING
        values.append(energy_pj_per_image("horowitz-fp32", 0.0, float(kept[0])))
    return spread_cell(values, numbers.energy)


def _lemaire(analysis: Analysis, curve: Curve) -> Cell:
    """Energy with memory accesses and addressing at the report T, as the mean over seeds."""
    layers = analysis.study.layers
    if layers is None:
        return MISSING
    layers = layers[layers["timestep"] == curve.report_timestep]
    spent = curve.report_latency
    values = []
    for name in curve.cases:
        own = layers[layers["case"] == name]
        if not len(own) or own["in_channels"].isna().all():
            return MISSING
        leak = _leaks(analysis.study.cases[name])
        try:
            values.append(lemaire(own.to_dict("records"), spent, leak))
        except EnergyError:
            return MISSING
    return spread_cell(values, numbers.energy)


def _leaks(case: Case) -> bool:
    """Whether a case's neurons leak; from its method where a record of old does not say."""
    recorded = case.facts.get("leak")
    if recorded is not None:
        return bool(recorded)
    chosen = (case.specification.get("options") or {}).get("neuron")
    if chosen is not None:
        return str(chosen).startswith("lif")
    return str(case.specification.get("base", case.specification.get("method"))) in LEAKY


def _energy_row(curve: Curve, ann: Curve, effective: Cell) -> tuple[Cell, ...]:
    """All columns but those of `lemaire`. effective: of the ANN, as `_effective` gives it."""
    dense = float(ann.mean("mac_per_image")[0])
    base = float(ann.mean("energy_pj_per_image")[0])
    timestep = curve.report_timestep
    spent = float(curve.mean("energy_pj_per_image")[curve.index(timestep)])
    additions = float(curve.mean("ac_per_image")[curve.index(timestep)])
    if np.isnan(additions):
        return (name_cell(curve.network), name_cell(curve.label), *(MISSING,) * 11)
    macs = float(curve.mean("mac_per_image")[curve.index(timestep)])
    whole = energy_pj_per_image("horowitz-int32", additions, macs)
    return (
        name_cell(curve.network),
        name_cell(curve.label),
        number(curve.report_latency, numbers.steps),
        measure_cell(curve, "energy_pj_per_image", timestep, numbers.energy),
        Cell(numbers.times(base / spent), base / spent, n=seeds_of(curve))
        if spent > 0
        else MISSING,
        effective,
        Cell(numbers.energy(whole), whole, n=seeds_of(curve)),
        number(matched_qnn(dense, timestep), numbers.energy),
        *_against_break_even(additions, dense - macs, seeds_of(curve)),
    )


def _against_break_even(additions: float, replaced: float, n: str) -> tuple[Cell, ...]:
    """Spikes per synapse and where they stand; empty where spikes replace no multiply-add.

    replaced: MACs of the ANN less those that the spiking network has too.
    """
    if replaced <= 0:
        return (MISSING, *(MISSING for _ in standing(0.0)))
    load = spikes_per_synapse(additions, replaced)
    verdicts = (name_cell("below" if below else "above") for below in standing(load).values())
    return (Cell(f"{load:.3g}", load, n=n), *verdicts)
