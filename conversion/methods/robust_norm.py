"""`robust-norm`: thresholds at a high percentile of the activations (Rueckauer 2017)."""

from __future__ import annotations

from conversion.method import method
from conversion.options import DEFINITION, PERCENTILE
from conversion.source import Balance, Source
from conversion.statistics import percentiles


@method(
    "robust-norm",
    summary="threshold = 99.9th percentile of the layer's activations",
    source="Rueckauer 2017, section 2.2.2",
    calibration_images=1000,
    percentile=PERCENTILE,
    definition=DEFINITION,
)
def robust_norm(source: Source, *, percentile: float, definition: str) -> Balance:
    """θ_l = percentile of a_l over the whole calibration set.

    definition: 'all' activations, zeros included, or 'nonzero' for the positive ones alone (the
    paper does not say which).
    """
    theta = percentiles(source.body, source.batches, percentile, definition=definition)
    settled, notes = source.settle(theta)
    return Balance(settled, notes=notes)
