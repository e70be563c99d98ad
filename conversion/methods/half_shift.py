"""`half-shift`: neurons start half-way to the threshold (Deng & Gu 2021)."""

from __future__ import annotations

from torch import Tensor

from conversion.method import Option, balance_by, method
from conversion.source import Balance, Source


@method(
    "half-shift",
    summary="any thresholds, with a start potential of half the threshold",
    source="Deng & Gu 2021, section 4",
    calibration_images=1000,
)
def half_shift(
    source: Source, *, thresholds: str = "robust-norm", percentile: float = 0.0
) -> Balance:
    """v₀ = θ/2: the neuron rounds its rate where it would cut it off; same as a shift of θ/(2T).

    thresholds: the method that θ comes from, with its default options; what else it corrects
        (calibration: biases or weights) is left out.
    percentile: of that method, where it has one; 0 leaves its default.
    """
    chosen: dict[str, Option] = {"percentile": percentile} if percentile else {}
    found = balance_by(thresholds, source, **chosen)  # refuses a name before it looks
    theta, notes = source.settle(found.theta)
    if found.shift or found.weights or found.observation:
        notes = (f"of {thresholds} the thresholds alone, without its corrections", *notes)
    return Balance(theta, start=halves(theta), notes=(*found.notes, *notes))


def halves(theta: dict[str, Tensor]) -> dict[str, Tensor]:
    """θ/2 of every layer."""
    return {name: value / 2 for name, value in theta.items()}
