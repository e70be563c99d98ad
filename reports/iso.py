"""Iso-accuracy: the steps each method needs, and how far that number may be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from reports.best import best_direct
from reports.curves import Curve, in_use, reference, up_to_training
from reports.intervals import percentile_interval
from reports.metrics import (
    NOT_REACHED,
    POINT,
    TOLERANCES,
    NotReached,
    best_timesteps,
    latency,
    reaches,
    speedup,
    spike_efficiency,
    sustained_timesteps,
)
from reports.resampling import Samples, spikes_of_seeds

Value = float | Literal[NotReached.NOT_REACHED]
Read = tuple[Curve, Value, np.ndarray | None]
"""A curve, the steps at which it is read, and those of every resample."""


@dataclass(frozen=True)
class Estimate:
    """A number or `not reached`, with its bootstrap interval.

    low and high are None without per-image results; `seeds` and `images` were resampled.
    until: of `Pace.trained` alone, the last T of the stretch at the target around the training T,
    where the network leaves it again within the sweep.
    """

    value: Value
    low: Value | None
    high: Value | None
    seeds: int
    images: int
    until: int | None = None


@dataclass(frozen=True)
class Pace:
    """How fast one spiking method gets where, in steps that include observation steps.

    within: T*(δ) against the ANN for each δ of TOLERANCES, in the same order, empty without an
    ANN; trained: the same read up to the training T (trained-timesteps, which is not T*), empty
    for conversions; best: to its own best accuracy; iso: to the best accuracy of the direct
    network. Speedups and spike efficiencies are those of the direct network over this one. What
    compares with a direct network is None for direct networks, and efficiencies are None where
    spikes were not counted.
    """

    curve: Curve
    within: tuple[Estimate, ...]
    trained: tuple[Estimate, ...]
    best: Estimate
    iso: Estimate | None = None
    iso_speedup: Estimate | None = None
    max_speedup: Estimate | None = None
    iso_spike_efficiency: Estimate | None = None
    max_spike_efficiency: Estimate | None = None


def paces(network: Sequence[Curve], samples: Samples) -> tuple[Pace, ...]:
    """The pace of every spiking method of one network."""
    ann, direct = reference(network), best_direct(network)
    return tuple(_pace(c, ann, direct, samples) for c in network if c.arm != "ann")


def steps_ratio(
    slow: Curve, fast: Curve, ann: Curve, tolerance: float, samples: Samples
) -> Estimate:
    """Steps of one method over steps of another within δ of the same ANN, both as `in_use`.

    tolerance: δ in points. Resamples in which neither gets there say nothing and are left out.
    """
    one, two = (_read(c, ann, tolerance, samples) for c in (slow, fast))
    ratios = None if one[2] is None or two[2] is None else _known_ratios(one[2], two[2])
    return _estimate(one[0], speedup(one[1], two[1]), ratios)  # type: ignore[arg-type]


def spikes_ratio(
    slow: Curve, fast: Curve, ann: Curve, tolerance: float, samples: Samples
) -> Estimate | None:
    """Spikes of one method over spikes of another at the steps that `steps_ratio` compares."""
    one, two = (_read(c, ann, tolerance, samples) for c in (slow, fast))
    return _spike_ratio(one, two, samples)


def spikes_with_input(curve: Curve) -> np.ndarray:
    """Hidden and input spikes per image, mean over seeds: [n]."""
    return np.asarray(spikes_of_seeds(curve).mean(axis=0))


def _pace(curve: Curve, ann: Curve | None, direct: Curve | None, samples: Samples) -> Pace:
    within: tuple[Estimate, ...] = ()
    trained: tuple[Estimate, ...] = ()
    if ann is not None:
        anchors = samples.accuracies(ann)[:, 0] if samples else None
        goals = [(float(ann.accuracy[0]), anchors, delta * POINT) for delta in TOLERANCES]
        within = tuple(_to_target(curve, *goal, samples) for goal in goals)
        if up_to_training(curve) is not None:
            trained = tuple(_in_training_range(curve, *goal, samples) for goal in goals)
    steps = latency(best_timesteps(curve.timesteps, curve.accuracy), curve.calibration_timesteps)
    best = _estimate(curve, steps, _best_samples(curve, samples))
    if direct is None or curve.arm == "direct":
        return Pace(curve, within, trained, best)
    return _against(Pace(curve, within, trained, best), direct, samples)


def _against(pace: Pace, direct: Curve, samples: Samples) -> Pace:
    """The pace of a conversion with what compares it with the direct network."""
    curve = pace.curve
    goal = samples.accuracies(direct).max(axis=1) if samples else None
    iso = _to_target(curve, float(direct.accuracy.max()), goal, 0.0, samples)
    own = latency(best_timesteps(direct.timesteps, direct.accuracy), direct.calibration_timesteps)
    own_draws = _best_samples(direct, samples)
    senses = (
        (iso.value, _target_samples(curve, goal, 0.0, samples)),
        (pace.best.value, _best_samples(curve, samples)),
    )
    speedups = [_ratio(curve, steps, own, draws, own_draws) for steps, draws in senses]
    efficiencies = [
        _spike_ratio((curve, steps, draws), (direct, own, own_draws), samples)
        for steps, draws in senses
    ]
    return replace(
        pace,
        iso=iso,
        iso_speedup=speedups[0],
        max_speedup=speedups[1],
        iso_spike_efficiency=efficiencies[0],
        max_spike_efficiency=efficiencies[1],
    )


def _to_target(
    curve: Curve, anchor: float, anchors: np.ndarray | None, margin: float, samples: Samples
) -> Estimate:
    steps = sustained_timesteps(curve.timesteps, curve.accuracy, anchor - margin)
    value = latency(steps, curve.calibration_timesteps)
    return _estimate(curve, value, _target_samples(curve, anchors, margin, samples))


def _read(curve: Curve, ann: Curve, tolerance: float, samples: Samples) -> Read:
    """A curve as `in_use`, and where it is within δ of the ANN."""
    target = float(ann.accuracy[0]) - tolerance * POINT
    curve = in_use(curve, target)
    steps = sustained_timesteps(curve.timesteps, curve.accuracy, target)
    anchors = samples.accuracies(ann)[:, 0] if samples else None
    draws = _target_samples(curve, anchors, tolerance * POINT, samples)
    return curve, latency(steps, curve.calibration_timesteps), draws


def _in_training_range(
    curve: Curve, anchor: float, anchors: np.ndarray | None, margin: float, samples: Samples
) -> Estimate:
    """trained-timesteps of a direct network, and where it leaves the target beyond."""
    part = up_to_training(curve)
    assert part is not None
    found = _to_target(part, anchor, anchors, margin, samples)
    below = (curve.timesteps > part.timesteps[-1]) & ~reaches(curve.accuracy, anchor - margin)
    if found.value is NOT_REACHED or not below.any():
        return found
    return replace(found, until=int(curve.timesteps[int(below.argmax()) - 1]))


def _target_samples(
    curve: Curve, anchors: np.ndarray | None, margin: float, samples: Samples
) -> np.ndarray | None:
    """Sustained steps of every resample, infinite where not reached: [resamples]."""
    if anchors is None or not samples:
        return None
    accuracies = samples.accuracies(curve)[:, : len(curve.timesteps)]
    below = ~reaches(accuracies, anchors[:, None] - margin)
    last_below = below.shape[1] - 1 - below[:, ::-1].argmax(axis=1)
    first = np.where(below.any(axis=1), last_below + 1, 0)
    return np.append(curve.latency.astype(float), np.inf)[first]


def _best_samples(curve: Curve, samples: Samples) -> np.ndarray | None:
    if not samples:
        return None
    return curve.latency[samples.accuracies(curve).argmax(axis=1)].astype(float)


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


def _spike_ratio(converted: Read, direct: Read, samples: Samples) -> Estimate | None:
    """Hidden and input spikes to the compared T (Lee 2020, table 8); None where not counted."""
    spikes = [_spikes_at(spikes_with_input(c)[None], c, s) for c, s, _ in (converted, direct)]
    if np.isnan(spikes).any() or not 0 < spikes[1][0] < np.inf:
        return None
    value: Value = NOT_REACHED
    if converted[1] is not NOT_REACHED:
        value = spike_efficiency(float(spikes[0][0]), float(spikes[1][0]))
    draws = None
    if samples and converted[2] is not None and direct[2] is not None:
        drawn = [_spikes_at(samples.spikes(c), c, d) for c, _, d in (converted, direct)]
        draws = _known_ratios(drawn[0], drawn[1])
    return _estimate(converted[0], value, draws)


def _known_ratios(upper: np.ndarray, lower: np.ndarray) -> np.ndarray | None:
    """Ratios of the resamples that have one: at least one side got there, and what it is divided
    by is not 0 (no seed of the resample spiked). None where none is left."""
    known = (np.isfinite(upper) | np.isfinite(lower)) & (lower > 0) & ~np.isnan(upper)
    return upper[known] / lower[known] if known.any() else None


def _spikes_at(spikes: np.ndarray, curve: Curve, steps: object) -> np.ndarray:
    """Spikes [rows, n] read at the latency of each row, infinite where not reached: [rows]."""
    wanted = np.atleast_1d(np.inf if steps is NOT_REACHED else np.asarray(steps, dtype=float))
    known = np.isfinite(wanted)
    places = np.searchsorted(curve.latency, np.where(known, wanted, curve.latency[0]))
    return np.where(known, spikes[np.arange(len(spikes)), places], np.inf)
