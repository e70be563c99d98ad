"""Iso-accuracy: the steps each method needs, and how far that number may be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from reports.curves import Curve, best_direct, reference, usable
from reports.frame import Study
from reports.intervals import bootstrap_accuracies, percentile_interval
from reports.metrics import (
    NOT_REACHED,
    POINT,
    TOLERANCES,
    NotReached,
    best_timesteps,
    latency,
    speedup,
    spike_efficiency,
    sustained_timesteps,
)

Value = float | Literal[NotReached.NOT_REACHED]

RESAMPLES = 1000
SEED = 2020
"""The bootstrap of a report starts here, so that the same records give the same page."""


@dataclass(frozen=True)
class Estimate:
    """A number or `not reached`, with its bootstrap interval.

    low and high are None without per-image results; `seeds` and `images` were resampled.
    until: set for a directly trained network that is at the target around the T it was trained
    for and leaves it at larger T; the value is then read up to the training T, and `until` is
    the last T of that stretch. (Sweeping further must not make a network worse.)
    """

    value: Value
    low: Value | None
    high: Value | None
    seeds: int
    images: int
    until: int | None = None


@dataclass(frozen=True)
class Pace:
    """How fast one spiking method gets where, in steps that include calibration.

    within: T*(δ) against the ANN for each δ of TOLERANCES, in the same order, empty without an
    ANN; iso: to the best accuracy of the direct network; best: to its own best. The speedups and
    spike efficiencies are those of the direct network over this one's, so None for direct ones.
    """

    curve: Curve
    within: tuple[Estimate, ...]
    best: Estimate
    iso: Estimate | None
    iso_speedup: Estimate | None
    max_speedup: Estimate | None
    iso_spike_efficiency: Value | None
    max_spike_efficiency: Value | None


Samples = dict[str, np.ndarray]
"""Accuracies of every resample by label of the curve: [resamples, timesteps]."""


def paces(network: Sequence[Curve], samples: Samples) -> tuple[Pace, ...]:
    """The pace of every spiking method of one network; samples as `resample` gives them."""
    ann, direct = reference(network), best_direct(network)
    return tuple(_pace(c, ann, direct, samples) for c in network if c.arm != "ann")


def resample(
    study: Study,
    network: Sequence[Curve],
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Samples:
    """Bootstrap of seeds and images together; empty where a case kept no per-image results."""
    kept: list[list[np.ndarray]] = []
    for curve in network:
        rows = [_correct(study, case, curve) for case in curve.cases]
        if any(row is None for row in rows):
            return {}
        kept.append([row for row in rows if row is not None])
    if len({row.shape[1] for rows in kept for row in rows}) != 1:
        return {}
    accuracies = bootstrap_accuracies(kept, generator, resamples)
    return {curve.label: rows for curve, rows in zip(network, accuracies, strict=True)}


def steps_ratio(
    slow: Curve, fast: Curve, ann: Curve, tolerance: float, samples: Samples
) -> Estimate:
    """T*(δ) of one method over T*(δ) of another, against the same ANN.

    tolerance: δ in points. Resamples in which neither gets there say nothing and are left out.
    """
    target = float(ann.accuracy[0]) - tolerance * POINT
    slow, fast = usable(slow, target), usable(fast, target)
    values = [
        latency(sustained_timesteps(c.timesteps, c.accuracy, target), c.calibration_timesteps)
        for c in (slow, fast)
    ]
    ratio = speedup(values[0], values[1])
    anchors = samples[ann.label][:, 0] if samples else None
    draws = [_target_samples(c, anchors, tolerance * POINT, samples) for c in (slow, fast)]
    if draws[0] is None or draws[1] is None:
        return _estimate(slow, ratio, None)
    known = np.isfinite(draws[0]) | np.isfinite(draws[1])
    ratios = draws[0][known] / draws[1][known]
    return _estimate(slow, ratio, ratios if ratios.size else None)


def _correct(study: Study, name: str, curve: Curve) -> np.ndarray | None:
    case = study.cases.get(name)
    kept = case.correctness if case is not None else None
    if kept is None:
        return None
    places = {int(t): i for i, t in enumerate(kept.timesteps)}
    if any(int(t) not in places for t in curve.timesteps):
        return None
    return np.asarray(kept.correct[[places[int(t)] for t in curve.timesteps]], dtype=bool)


def _pace(curve: Curve, ann: Curve | None, direct: Curve | None, samples: Samples) -> Pace:
    within: tuple[Estimate, ...] = ()
    if ann is not None:
        anchors = samples[ann.label][:, 0] if samples else None
        within = tuple(
            _to_target(curve, float(ann.accuracy[0]), anchors, delta * POINT, samples)
            for delta in TOLERANCES
        )
    steps = latency(best_timesteps(curve.timesteps, curve.accuracy), curve.calibration_timesteps)
    best = _estimate(curve, steps, _best_samples(curve, samples))
    if direct is None or curve.arm == "direct":
        return Pace(curve, within, best, None, None, None, None, None)
    goal = samples[direct.label].max(axis=1) if samples else None
    iso = _to_target(curve, float(direct.accuracy.max()), goal, 0.0, samples)
    own = best_timesteps(direct.timesteps, direct.accuracy)
    direct_steps = latency(own, direct.calibration_timesteps)
    iso_draws = _target_samples(curve, goal, 0.0, samples)
    best_draws, own_draws = _best_samples(curve, samples), _best_samples(direct, samples)
    return Pace(
        curve,
        within,
        best,
        iso,
        _ratio(curve, iso.value, direct_steps, iso_draws, own_draws),
        _ratio(curve, best.value, direct_steps, best_draws, own_draws),
        _spike_ratio(curve, iso.value, direct, own),
        _spike_ratio(curve, best.value, direct, own),
    )


def _to_target(
    curve: Curve, anchor: float, anchors: np.ndarray | None, margin: float, samples: Samples
) -> Estimate:
    own = usable(curve, anchor - margin)
    steps = sustained_timesteps(own.timesteps, own.accuracy, anchor - margin)
    value = latency(steps, curve.calibration_timesteps)
    found = _estimate(curve, value, _target_samples(own, anchors, margin, samples))
    if own is curve:
        return found
    beyond = curve.timesteps[(curve.timesteps > own.timesteps[-1])
                             & (curve.accuracy < anchor - margin - 1e-12)]  # fmt: skip
    last = curve.timesteps[curve.timesteps < beyond[0]][-1]
    return replace(found, until=int(last))


def _target_samples(
    curve: Curve, anchors: np.ndarray | None, margin: float, samples: Samples
) -> np.ndarray | None:
    """Sustained steps of every resample, infinite where not reached: [resamples]."""
    if anchors is None or not samples:
        return None
    accuracies = samples[curve.label][:, : len(curve.timesteps)]
    below = accuracies < anchors[:, None] - margin - 1e-12
    last_below = below.shape[1] - 1 - below[:, ::-1].argmax(axis=1)
    first = np.where(below.any(axis=1), last_below + 1, 0)
    return np.append(curve.latency.astype(float), np.inf)[first]


def _best_samples(curve: Curve, samples: Samples) -> np.ndarray | None:
    return curve.latency[samples[curve.label].argmax(axis=1)].astype(float) if samples else None


def _ratio(
    curve: Curve,
    steps: Value,
    direct: Value,
    draws: np.ndarray | None,
    direct_draws: np.ndarray | None,
) -> Estimate:
    value = speedup(steps, direct)  # type: ignore[arg-type]
    ratios = None if draws is None or direct_draws is None else draws / direct_draws
    return _estimate(curve, value, ratios)


def _estimate(curve: Curve, value: Value, draws: np.ndarray | None) -> Estimate:
    if draws is None:
        return Estimate(value, None, None, len(curve.seeds), curve.images)
    interval = percentile_interval(draws, np.inf if value is NOT_REACHED else float(value))
    ends = [NOT_REACHED if np.isinf(end) else end for end in (interval.low, interval.high)]
    return Estimate(value, ends[0], ends[1], len(curve.seeds), curve.images)


def _spike_ratio(curve: Curve, steps: Value, direct: Curve, own: int) -> Value | None:
    """Hidden and input spikes to the compared T (Lee 2020, table 8); None where not counted."""
    if steps is NOT_REACHED:
        return NOT_REACHED
    converted = spikes_with_input(curve)[curve.index(int(steps) - curve.calibration_timesteps)]
    own_spikes = spikes_with_input(direct)[direct.index(own)]
    if np.isnan(converted) or np.isnan(own_spikes) or own_spikes <= 0:
        return None
    return spike_efficiency(float(converted), float(own_spikes))


def spikes_with_input(curve: Curve) -> np.ndarray:
    """Hidden and input spikes per image, mean over seeds: [n]; analogue input has no spikes."""
    inputs = curve.measures["input_spikes_per_image"]
    return np.asarray((curve.measures["spikes_per_image"] + np.nan_to_num(inputs)).mean(axis=0))
