"""`half-shift`: neurons start half-way to the threshold (Deng & Gu 2021)."""

from __future__ import annotations

from torch import Tensor

from conversion.method import CONVERSIONS, Conversions, Method, method
from conversion.source import Balance, Source
from network.options import Option, Range, resolve


def _of_any_ann(method: Method) -> bool:
    return method.ann == "relu"


def _without_percentile(method: Method) -> bool:
    return _of_any_ann(method) and "percentile" not in method.options


@method(
    "half-shift",
    summary="any thresholds, with a start potential of half the threshold",
    source="Deng & Gu 2021, section 4",
    calibration_images=1000,
    thresholds=Option(
        "robust-norm",
        "the conversion that thresholds come from",
        choices=Conversions(_of_any_ann),
    ),
    percentile=Option(
        0.0,
        "of that conversion, where it has one; 0: its default",
        Range(least=0.0, most=100.0),
        idle=("thresholds", Conversions(_without_percentile)),
    ),
)
def half_shift(source: Source, *, thresholds: str, percentile: float) -> Balance:
    """v₀ = θ/2: the neuron rounds its rate where it would cut it off; same as a shift of θ/(2T).

    thresholds: the method that θ comes from, with its default options; what else it corrects
        (calibration: biases or weights) is left out.
    percentile: of that method, where it has one; 0 leaves its default.
    """
    other = CONVERSIONS.get(thresholds)
    given = {"percentile": percentile} if percentile else {}
    found = other.function(source, **resolve(thresholds, other.options, given))
    theta, notes = source.settle(found.theta)
    if found.shift or found.weights or found.observation:
        notes = (f"of {thresholds} the thresholds alone, without its corrections", *notes)
    return Balance(theta, start=halves(theta), notes=(*found.notes, *notes))


def halves(theta: dict[str, Tensor]) -> dict[str, Tensor]:
    """θ/2 of every layer."""
    return {name: value / 2 for name, value in theta.items()}
