"""The most accurate network of an arm; of several equally accurate ones, the fastest."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from reports.curves import Curve, reference
from reports.metrics import NOT_REACHED, POINT, latency, sustained_timesteps

DIGITS = 12  # of accuracies that are the same: the rest is what floating point makes of a mean


def best_direct(items: Iterable[Curve]) -> Curve | None:
    """The directly trained network with the highest mean accuracy at its report T."""
    return _best(items, "direct")


def best_converted(items: Iterable[Curve]) -> Curve | None:
    """The conversion with the highest mean accuracy at its largest T."""
    return _best(items, "converted")


def _best(items: Iterable[Curve], arm: str) -> Curve | None:
    network = list(items)
    ann = reference(network)

    def rank(curve: Curve) -> tuple[float, float]:
        accuracy = float(curve.accuracy[curve.index(curve.report_timestep)])
        return round(accuracy, DIGITS), -_steps(curve, ann)

    return max((curve for curve in network if curve.arm == arm), key=rank, default=None)


def _steps(curve: Curve, ann: Curve | None) -> float:
    """T*(1 point), infinite where it is not reached or there is no ANN."""
    if ann is None:
        return np.inf
    target = float(ann.accuracy[0]) - POINT
    steps = sustained_timesteps(curve.timesteps, curve.accuracy, target)
    reached = latency(steps, curve.calibration_timesteps)
    return np.inf if reached is NOT_REACHED else float(reached)
