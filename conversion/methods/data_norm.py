"""`data-norm`: thresholds at the largest activation (Diehl 2015, 'data-based normalization')."""

from __future__ import annotations

from conversion.method import method
from conversion.source import Balance, Source
from conversion.statistics import Maximum, gather


@method(
    "data-norm",
    summary="threshold = largest activation of the layer",
    source="Diehl 2015, algorithm 2",
    calibration_images=1000,
)
def data_norm(source: Source) -> Balance:
    """θ_l = max a_l over the calibration images and all neurons of the layer."""
    theta = gather(source.body, source.batches, {name: Maximum() for name in source.names})
    settled, notes = source.settle(theta)
    return Balance(settled, notes=notes)
