"""Ours beside a published number: columns of the records, and what is worked out from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from reports import numbers
from reports.analysis import Analysis
from reports.best import best_direct
from reports.curves import MEASURES, Curve, reference
from reports.energy import energy_pj_per_image
from reports.iso import Pace
from reports.metrics import best_timesteps
from reports.tables.cells import (
    MISSING,
    Cell,
    accuracy_cell,
    estimate_cell,
    measure_cell,
    spread_cell,
)

PaceCell = Callable[[Pace], Cell]

OF_PACE: dict[str, PaceCell] = {
    "iso_timesteps": lambda pace: estimate_cell(pace.iso, numbers.steps),
    "max_timesteps": lambda pace: estimate_cell(pace.best, numbers.steps),
    "iso_speedup": lambda pace: estimate_cell(pace.iso_speedup, numbers.times),
    "max_speedup": lambda pace: estimate_cell(pace.max_speedup, numbers.times),
    "iso_spike_efficiency": lambda pace: estimate_cell(pace.iso_spike_efficiency, numbers.times),
    "max_spike_efficiency": lambda pace: estimate_cell(pace.max_spike_efficiency, numbers.times),
}
"""Steps and ratios at equal accuracy (Lee 2020, tables 8 and 9), as in the iso-accuracy table."""

BEST_ACCURACY = "best_accuracy"
ALL_SPIKES = "all_spikes_per_image"
OPERATIONS = "operations_per_ann_mac"
ANN_ENERGY = "ann_energy_per_energy"
DIRECT_ENERGY = "energy_per_direct_energy"
ENERGY_MODEL = "horowitz-int32"
PAPER_MEASURES: tuple[str, ...] = (
    *MEASURES, *OF_PACE, BEST_ACCURACY, ALL_SPIKES, OPERATIONS, ANN_ENERGY, DIRECT_ENERGY
)  # fmt: skip
"""What a [[paper]] row may name as its measure.

best_accuracy: at the T where it is highest. all_spikes_per_image: of hidden neurons and input.
operations_per_ann_mac: additions and multiply-adds over the dense multiply-adds of the ANN.
ann_energy_per_energy: energy of the ANN over that of the network. energy_per_direct_energy: energy
of the network over that of the best direct one at its report T. Both by the model horowitz-int32
(Lee 2020, section 5.4), on the counted operations, whatever model the study was run with.
"""


def cell_of(measure: str, curve: Curve, timestep: int, analysis: Analysis) -> Cell:
    """Our number for a measure of PAPER_MEASURES at a timestep of the curve's sweep."""
    if measure in OF_PACE:
        paces = analysis.paces[curve.network]
        found = next((pace for pace in paces if pace.curve.label == curve.label), None)
        return MISSING if found is None else OF_PACE[measure](found)
    if measure == "accuracy":
        return accuracy_cell(curve, timestep)
    if measure == BEST_ACCURACY:
        return accuracy_cell(curve, best(curve))
    if measure == ALL_SPIKES:
        return _sum(curve, ("spikes_per_image", "input_spikes_per_image"), timestep)
    if measure == OPERATIONS:
        return _operations(curve, timestep, reference(analysis.networks[curve.network]))
    if measure in (ANN_ENERGY, DIRECT_ENERGY):
        return _energy_ratio(measure, curve, timestep, analysis.networks[curve.network])
    return measure_cell(curve, measure, timestep, numbers.count)


def best(curve: Curve) -> int:
    """The T at which the curve is highest."""
    return best_timesteps(curve.timesteps, curve.accuracy)


def _sum(curve: Curve, measures: tuple[str, ...], timestep: int) -> Cell:
    if curve.arm == "ann":
        return MISSING
    place = curve.index(timestep)
    values = np.sum([curve.measures[name][:, place] for name in measures], axis=0)
    return MISSING if np.isnan(values).any() else spread_cell(values.tolist(), numbers.count)


def _operations(curve: Curve, timestep: int, ann: Curve | None) -> Cell:
    if ann is None or curve.arm == "ann":
        return MISSING
    place, dense = curve.index(timestep), float(ann.mean("mac_per_image")[0])
    both = curve.measures["ac_per_image"][:, place] + curve.measures["mac_per_image"][:, place]
    return spread_cell([float(value) / dense for value in both], numbers.times)


def _energy_ratio(measure: str, curve: Curve, timestep: int, network: Sequence[Curve]) -> Cell:
    """Ratio of energies, of every seed of the curve to the mean over seeds of the other network."""
    other = reference(network) if measure == ANN_ENERGY else best_direct(network)
    if other is None or curve.arm == "ann" or curve is other:
        return MISSING
    own, theirs = _energies(curve, timestep), _energies(other, other.report_timestep).mean()
    if not ((own > 0).all() and theirs > 0):  # NaN, where a count is missing, is not either
        return MISSING
    ratios = theirs / own if measure == ANN_ENERGY else own / theirs
    return spread_cell(ratios.tolist(), numbers.times)


def _energies(curve: Curve, timestep: int) -> np.ndarray:
    """Picojoules per image of every seed: [seeds]; NaN where a count is missing.

    An ANN counts no additions.
    """
    place = curve.index(timestep)
    added, multiplied = (curve.measures[f"{kind}_per_image"][:, place] for kind in ("ac", "mac"))
    if curve.arm == "ann":
        added = np.zeros_like(multiplied)
    pairs = zip(added.tolist(), multiplied.tolist(), strict=True)
    return np.array(
        [
            np.nan if np.isnan(pair).any() else energy_pj_per_image(ENERGY_MODEL, *pair)
            for pair in pairs
        ]
    )
