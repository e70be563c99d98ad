"""`channel-norm`: one threshold per channel (Kim 2020, channel-wise data-based normalization)."""

from __future__ import annotations

from conversion.method import method
from conversion.options import DEFINITION, PERCENTILE
from conversion.source import Balance, Source
from conversion.statistics import percentiles


@method(
    "channel-norm",
    summary="threshold = 99.9th percentile of each channel's activations",
    source="Kim 2020 (Spiking-YOLO), section 'Channel-wise data-based normalization'",
    calibration_images=1000,
    percentile=PERCENTILE,
    definition=DEFINITION,
)
def channel_norm(source: Source, *, percentile: float, definition: str) -> Balance:
    """θ_l[c] = percentile of channel c of a_l; percentile = 100 is the maximum of the paper."""
    theta = percentiles(
        source.body, source.batches, percentile, definition=definition, per_channel=True
    )
    settled, notes = source.settle(theta)
    return Balance(settled, notes=notes)
