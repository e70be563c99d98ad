"""`rmp`: lowered thresholds with soft reset (Han 2020, residual membrane potential neurons)."""

from __future__ import annotations

from conversion.method import method
from conversion.methods.spike_norm import spike_norm
from conversion.options import LOOKED_FOR
from conversion.source import Balance, Source
from network.options import Option, Range


@method(
    "rmp",
    summary="thresholds of spike-norm times a factor, soft reset",
    source="Han 2020, section 3",
    calibration_images=128,
    scale=Option(
        0.8,
        "thresholds as a share of those of spike-norm, above 0 and at most 1",
        Range(above=0.0, most=1.0),
    ),
    timesteps=LOOKED_FOR,
)
def rmp(source: Source, *, scale: float, timesteps: int) -> Balance:
    """θ_l = scale · θ_l(spike-norm), 0 < scale ≤ 1; the reset keeps what is above θ.

    Raises ValueError with hard reset, which throws the residual potential away.
    """
    if source.reset != "soft":
        raise ValueError(f"rmp needs the soft reset, got {source.reset!r}")
    balance = spike_norm(source, timesteps=timesteps)
    return Balance({name: theta * scale for name, theta in balance.theta.items()})
