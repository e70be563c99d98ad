"""The answer of a study in sentences, made from its numbers and no stronger than they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reports import numbers
from reports.analysis import Analysis
from reports.curves import Curve, families, fastest, reference, the_ann
from reports.iso import Estimate, Pace, spikes_with_input
from reports.metrics import NOT_REACHED, POINT, reaches
from reports.origins import has_own_ann, is_tuned, started_from
from reports.pairs import NAMES, TOLERANCE, brackets, other_way, ratio_words, span, unsettled, use


@dataclass(frozen=True)
class Answer:
    """One network's answer: a headline and the sentences that qualify it."""

    network: str
    headline: str
    details: tuple[str, ...]


def answers(analysis: Analysis) -> tuple[Answer, ...]:
    """One answer per family of several depths, then one per network of the study."""
    deep = [
        _depth_answer(analysis, name, items) for name, items in families(analysis.curves).items()
    ]
    overall = [answer for answer in deep if answer is not None]
    single = [_answer(analysis, name, items) for name, items in analysis.networks.items()]
    return (*overall, *single)


def _depth_answer(analysis: Analysis, family: str, items: list[Curve]) -> Answer | None:
    """How accuracy and T* of each method change from the least to the greatest depth.

    None where no method was run at more than one.
    """
    by_label: dict[str, list[Curve]] = {}
    for curve in sorted(items, key=lambda c: c.depth or 0):
        by_label.setdefault(curve.label, []).append(curve)
    deep = {k: own for k, own in by_label.items() if len({curve.depth for curve in own}) > 1}
    if not deep:
        return None
    deep = _leading(deep)
    depths = sorted({curve.depth for own in deep.values() for curve in own if curve.depth})
    accuracies = [
        f"{label} {_reported(own[0])} and {_reported(own[-1])} %{_read_at(own)}"
        f"{_elsewhere(own, depths)}"
        for label, own in deep.items()
    ]
    pace_of = {id(pace.curve): pace for found in analysis.paces.values() for pace in found}
    steps = []
    for label, own in deep.items():
        paces = [pace_of[id(c)] for c in own if id(c) in pace_of and c.arm != "ann"]
        if paces and all(pace.within for pace in paces):
            steps.append(f"{label} {', '.join(_short(pace) for pace in paces)}")
    headline = f"Accuracy with {depths[0]} and with {depths[-1]} layers: {'; '.join(accuracies)}."
    grid = ", ".join(str(depth) for depth in depths)
    marked = "" if "†" not in "".join(steps) else f" († {DAGGER})"
    details = (f"T*(1 point) with {grid} layers: {'; '.join(steps)}.{marked}",) if steps else ()
    return Answer(f"{family}, by depth", headline, details)


def _read_at(own: list[Curve]) -> str:
    """The T at which the accuracies of a spiking method are read."""
    steps = dict.fromkeys(str(curve.report_latency) for curve in (own[0], own[-1]))
    return "" if own[0].arm == "ann" else f" at T = {' and '.join(steps)}"


def _elsewhere(own: list[Curve], depths: list[int]) -> str:
    """The depths of a method that was not run at the least and the greatest of all."""
    ends = (own[0].depth, own[-1].depth)
    return "" if ends == (depths[0], depths[-1]) else f" (with {ends[0]} and {ends[1]})"


DAGGER = "read up to the training T; the network leaves the range beyond it, so T* is not reached"


def _short(pace: Pace) -> str:
    found, exact = use(pace)
    ends = span(found)
    if found.value is NOT_REACHED and ends is not None and np.isinf(ends[0]):
        ends = None  # nor does any resample get there: the words say it
    return f"{numbers.steps(found.value)}{brackets(ends)}{'' if exact else '†'}"


def _leading(deep: dict[str, list[Curve]]) -> dict[str, list[Curve]]:
    """Of each arm, the method that is the most accurate at its greatest depth."""
    best: dict[str, str] = {}
    for label, own in deep.items():
        held = best.get(own[-1].arm)
        if held is None or float(_reported(own[-1])) > float(_reported(deep[held][-1])):
            best[own[-1].arm] = label
    return {label: own for label, own in deep.items() if label in best.values()}


def _reported(curve: Curve) -> str:
    return numbers.percent(float(curve.accuracy[curve.index(curve.report_timestep)]))


def _answer(analysis: Analysis, name: str, items: list[Curve]) -> Answer:
    ann = reference(items)
    if ann is None:
        return Answer(name, "There is no ANN to hold the spiking networks against.", ())
    classes = analysis.guessing(ann)
    if classes is not None:
        return Answer(name, _at_chance(ann, classes), ())
    target = float(ann.accuracy[0]) - TOLERANCE * POINT
    converted, direct = fastest(items, "converted", target), fastest(items, "direct", target)
    paces = {pace.curve.label: pace for pace in analysis.paces[name]}
    known = [(curve, paces[curve.label]) for curve in (converted, direct) if curve is not None]
    if not known:
        return Answer(name, "Only the ANN was run.", ())
    reached = [(curve, pace) for curve, pace in known if use(pace)[0].value is not NOT_REACHED]
    goal = f"within 1 point of {the_ann(ann)} ({_percent(ann)})"
    who = {curve.label: _who(analysis, curve, items) for curve, _ in known}
    details = [
        _failure(curve, use(pace)[0], ann, who[curve.label])
        for curve, pace in known
        if (curve, pace) not in reached
    ]
    if not reached:
        headline = f"No method stays {goal}."
    else:
        needs = " and ".join(_need(curve, pace, who[curve.label]) for curve, pace in reached)
        headline = f"To stay {goal}, {needs}."
    details += [_beyond(curve, pace) for curve, pace in reached if not use(pace)[1]]
    details += [unsettled(pace, paces.values()) for _, pace in reached]
    if len(reached) == 2:
        details.append(ratio_words(analysis, name, reached[0][1], reached[1][1], ann))
        details.append(other_way(items, reached[0][1], reached[1][1]))
    details += [_cost(curve, pace, ann) for curve, pace in reached]
    for curve, _ in known:
        details += _plainly(analysis, curve, items, ann, paces)
    if direct is None:
        details.append("The study has no directly trained network to compare with.")
    if converted is None:
        details.append("The study has no converted network to compare with.")
    return Answer(name, headline, tuple(detail for detail in details if detail))


def _at_chance(ann: Curve, classes: int) -> str:
    """Why nothing is held against an ANN that has learnt nothing."""
    who = the_ann(ann)
    return (
        f"{who[0].upper()}{who[1:]} ({_percent(ann)}) is not above guessing one of {classes} "
        f"classes ({numbers.percent(1 / classes)} %), so no method is held against it."
    )


def _plainly(
    analysis: Analysis, chosen: Curve, items: list[Curve], ann: Curve, paces: dict[str, Pace]
) -> list[str]:
    """The same of the fastest method that needs no ANN of its own, or no conversion to start from,
    where the one of the headline does."""
    special = {"converted": has_own_ann, "direct": is_tuned}[chosen.arm]
    if not special(analysis.study, chosen, items):
        return []
    rest = [curve for curve in items if not special(analysis.study, curve, items)]
    curve = fastest(rest, chosen.arm, float(ann.accuracy[0]) - TOLERANCE * POINT)
    if curve is None:
        return []
    kind = {
        "converted": f"conversions of {the_ann(ann)} as it is",
        "direct": "trainings from scratch",
    }
    who, pace = f"of the {kind[chosen.arm]}, {curve.label}", paces[curve.label]
    found, exact = use(pace)
    if found.value is NOT_REACHED:
        return [_failure(curve, found, ann, who)]
    said = _need(curve, pace, who)
    beyond = [] if exact else [_beyond(curve, pace)]
    return [f"{said[0].upper()}{said[1:]}.", *beyond, _cost(curve, pace, ann)]


def _need(curve: Curve, pace: Pace, who: str) -> str:
    """Steps in use; said to be read up to the training T where T* itself is not reached."""
    found, exact = use(pace)
    where = "" if exact else f" where it runs no longer than the T = {curve.train_timesteps} it "
    where += "" if exact else "was trained for"
    return f"{who} needs T = {numbers.steps(found.value)}{brackets(span(found))}{where}"


def _beyond(curve: Curve, pace: Pace) -> str:
    """What the sweep beyond the training T shows of a network that leaves the range there."""
    until = use(pace)[0].until
    return (
        f"Run longer than it was trained for, {curve.label} stays there up to T = {until} and "
        f"falls below at larger T: its T*(1 point) over the whole sweep, to "
        f"T = {int(curve.latency[-1])}, is not reached."
    )


def _who(analysis: Analysis, curve: Curve, items: list[Curve]) -> str:
    """A method, and from what it starts where that is not the usual."""
    who = f"{NAMES[curve.arm]} by {curve.label}"
    if is_tuned(analysis.study, curve, items):
        return f"{who}, which starts from a conversion,"
    if has_own_ann(analysis.study, curve, items):
        own = started_from(analysis.study, curve, items)
        return f"{who}, from an ANN of its own{f' ({_percent(own)})' if own else ''},"
    return who


def _failure(curve: Curve, found: Estimate, ann: Curve, who: str) -> str:
    """How far a method is from the range that it does not stay in, and whether that is certain."""
    best, goal = float(curve.accuracy.max()), float(ann.accuracy[0])
    gap = (goal - best) / POINT
    last = int(curve.latency[-1])
    close = f"its best is {numbers.percent(best)} %, {gap:.2f} points below"
    if reaches(best, goal - TOLERANCE * POINT):
        close = f"it touches {numbers.percent(best)} % but does not stay there"
    ends = span(found)
    doubt = ""
    if ends is not None and np.isfinite(ends[0]):
        doubt = f"; its T* has the interval{brackets(ends)}, so that is not certain"
    return f"{who[0].upper()}{who[1:]} does not get there by T = {last}: {close}{doubt}."


def _cost(curve: Curve, pace: Pace, ann: Curve) -> str:
    """Spikes and energy of a method at its T*."""
    steps = use(pace)[0].value
    if steps is NOT_REACHED:
        return ""
    place = curve.index(int(steps) - curve.calibration_timesteps)
    parts = []
    spikes = float(spikes_with_input(curve)[place])
    if np.isfinite(spikes):
        inputs = float(np.nan_to_num(curve.mean("input_spikes_per_image")[place]))
        told = ", those of the input included," if inputs > 0 else ""
        parts.append(f"{numbers.count(spikes)} spikes per image{told}")
    energy = float(curve.mean("energy_pj_per_image")[place])
    base = float(ann.mean("energy_pj_per_image")[0])
    if np.isfinite(energy):
        words, against = numbers.energy(energy), ""
        if np.isfinite(base):
            words, of_ann = numbers.energies(energy, base)
            against = f" ({the_ann(ann).removeprefix('the ')} {of_ann})"
        parts.append(f"{words} per image by the energy model{against}")
    return f"{curve.label} spends {' and '.join(parts)} there." if parts else ""


def _percent(curve: Curve) -> str:
    return f"{numbers.percent(float(curve.accuracy[0]))} %"
