"""A conversion beside a direct training, in sentences: steps and spikes of one over the other."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from reports import numbers
from reports.analysis import Analysis
from reports.best import best_direct
from reports.curves import Curve
from reports.iso import Estimate, Pace, spikes_ratio, steps_ratio
from reports.metrics import NOT_REACHED, TOLERANCES, NotReached, best_timesteps, latency
from reports.words import listed

TOLERANCE = 1.0
"""δ of the headline, in points."""

NAMES = {"converted": "conversion", "direct": "direct training"}
KINDS = {"converted": "the conversions", "direct": "the direct trainings"}
Span = tuple[float, float]


def use(pace: Pace) -> tuple[Estimate, bool]:
    """The steps that a user needs, and whether they are T* (else read up to the training T)."""
    place = TOLERANCES.index(TOLERANCE)
    within = pace.within[place]
    if within.value is NOT_REACHED and pace.trained:
        trained = pace.trained[place]
        if trained.value is not NOT_REACHED:
            return trained, False
    return within, True


def span(estimate: Estimate) -> Span | None:
    """The ends of an interval, infinite where not reached; None where they are unknown."""
    if estimate.low is None or estimate.high is None:
        return None
    low, high = (
        np.inf if isinstance(end, NotReached) else float(end)
        for end in (estimate.low, estimate.high)
    )
    return low, high


def inverse_of(ends: Span) -> Span:
    """The interval of 1 / estimate."""
    low, high = (np.inf if end == 0 else 1 / end for end in reversed(ends))
    return low, high


def brackets(ends: Span | None) -> str:
    """An interval behind its estimate; nothing where it is unknown."""
    if ends is None:
        return ""
    return f" [{', '.join('∞' if np.isinf(end) else f'{end:.3g}' for end in ends)}]"


def ratio_words(analysis: Analysis, name: str, converted: Pace, direct: Pace, ann: Curve) -> str:
    """Which takes more steps, said only where the interval of the ratio excludes 1."""
    curves, samples = (converted.curve, direct.curve), analysis.samples[name]
    ratio = steps_ratio(*curves, ann, TOLERANCE, samples)
    if ratio.value is NOT_REACHED:
        return ""
    value, ends = float(ratio.value), span(ratio)
    if ends is None:
        return f"Steps of conversion over steps of direct training: {value:.3g}, interval unknown."
    spikes = spikes_ratio(*curves, ann, TOLERANCE, samples)
    if ends[0] > 1:
        return _more(converted, direct, value, ends) + f"{spike_words(spikes)}."
    if ends[1] < 1:
        more = _more(direct, converted, 1 / value, inverse_of(ends))
        return f"{more}{spike_words(spikes, inverse=True)}."
    return (
        f"Steps of conversion over steps of direct training: {value:.3g}{brackets(ends)}; "
        "the interval holds 1, so neither is shown to need fewer."
    )


def _more(slow: Pace, fast: Pace, value: float, ends: Span) -> str:
    steps = [numbers.steps(use(pace)[0].value) for pace in (slow, fast)]
    who = [NAMES[pace.curve.arm] for pace in (slow, fast)]
    return (
        f"T = {steps[0]} against {steps[1]}: {who[0]} takes {value:.3g} times as many steps as "
        f"{who[1]}{brackets(ends)}"
    )


def spike_words(ratio: Estimate | None, inverse: bool = False) -> str:
    """Spikes of the one that takes more steps over those of the other, with the interval.

    Which spends more is said only where the interval excludes 1. ratio: spikes of conversion over
    spikes of direct training; inverse: it is direct training that takes more steps.
    """
    if ratio is None or isinstance(ratio.value, NotReached) or ratio.value <= 0:
        return ""
    value, ends = float(ratio.value), span(ratio)
    slow, fast = NAMES.values()
    if inverse:
        slow, fast = fast, slow
        value, ends = 1 / value, None if ends is None else inverse_of(ends)
    if ends is not None and ends[0] > 1:
        return f" and {value:.3g} times as many spikes{brackets(ends)}"
    if ends is not None and ends[1] < 1:
        more = brackets(inverse_of(ends))
        return f", but {fast} spends {1 / value:.3g} times as many spikes{more}"
    known = "interval unknown" if ends is None else "that interval holds 1"
    return f"; spikes of {slow} over those of {fast}: {value:.3g}{brackets(ends)}, {known}"


def other_way(items: list[Curve], converted: Pace, direct: Pace) -> str:
    """The steps to the direct network's best accuracy where their order is the other one, if only
    in the estimates.

    The order of the headline's T* is that of `converted` and `direct`; nothing where it is not
    turned round.
    """
    best, speedup = best_direct(items), converted.iso_speedup
    if best is None or converted.iso is None or speedup is None:
        return ""
    ratio = np.inf if isinstance(speedup.value, NotReached) else float(speedup.value)
    # both are steps: an answer has a pair only where both arms get there
    slow, fast = (float(use(pace)[0].value) for pace in (converted, direct))  # type: ignore[arg-type]
    if (slow - fast) * (ratio - 1) >= 0:
        return ""
    own = latency(best_timesteps(best.timesteps, best.accuracy), best.calibration_timesteps)
    whose = "the direct network" if direct.curve is best else best.label
    words = f"{numbers.steps(converted.iso.value)} steps by conversion, {own} directly"
    if np.isinf(ratio):
        words = f"not reached by conversion, {own} steps directly"
    ends = span(speedup)
    if ends is not None and ends[0] <= 1 <= ends[1] and np.isfinite(ratio):
        return (
            f"To {whose}'s best accuracy: {words} (ratio {ratio:.3g}{brackets(ends)}: that "
            "interval holds 1, so no order is shown)."
        )
    return f"To {whose}'s best accuracy the order is the other way: {words}."


def unsettled(pace: Pace, paces: Iterable[Pace]) -> str:
    """The methods of its arm whose steps the images and seeds do not tell from the smallest ones.

    pace: that of the smallest estimate; nothing where no other interval overlaps its own.
    """
    found, arm = use(pace)[0], pace.curve.arm
    rivals = [p for p in paces if p.curve.arm == arm and p.curve.label != pace.curve.label]
    names = [p.curve.label for p in rivals if _overlap(span(found), span(use(p)[0]))]
    if not names:
        return ""
    overlap = f"interval of {names[0]} overlaps"
    if len(names) > 1:
        overlap = f"intervals of {listed(names)} overlap"
    return (
        f"Of {KINDS[arm]}, the smallest estimate is that of {pace.curve.label}, "
        f"T = {numbers.steps(found.value)}{brackets(span(found))}; the {overlap} it."
    )


def _overlap(one: Span | None, two: Span | None) -> bool:
    """Whether two known intervals share a number of steps: both being open above is not enough."""
    if one is None or two is None:
        return False
    low, high = max(one[0], two[0]), min(one[1], two[1])
    return bool(np.isfinite(low)) and low <= high
