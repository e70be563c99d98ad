"""`rmp`: lowered thresholds with soft reset (Han 2020, residual membrane potential neurons)."""

from __future__ import annotations

from conversion.method import method, within
from conversion.methods.spike_norm import spike_norm
from conversion.source import Balance, Source


@method(
    "rmp",
    summary="thresholds of spike-norm times a factor, soft reset",
    source="Han 2020, section 3",
    calibration_images=128,
)
def rmp(source: Source, *, scale: float = 0.8, timesteps: int = 100) -> Balance:
    """θ_l = scale · θ_l(spike-norm), 0 < scale ≤ 1; the reset keeps what is above θ.

    Raises ValueError with hard reset, which throws the residual potential away.
    """
    within("rmp", "scale", scale, 0.0, 1.0)
    within("rmp", "timesteps", timesteps, 0, float("inf"))
    if source.reset != "soft":
        raise ValueError(f"rmp needs the soft reset, got {source.reset!r}")
    balance = spike_norm(source, timesteps=timesteps)
    return Balance({name: theta * scale for name, theta in balance.theta.items()})
