"""What a reader must know before believing a report, found in the data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reports.analysis import Analysis
from reports.caveats_of_cases import of_cases
from reports.curves import Curve, approaches, reference, the_ann
from reports.figures.base import Figure
from reports.metrics import NOT_REACHED, POINT, TOLERANCES
from reports.origins import has_own_ann, is_tuned
from reports.words import lowered
from reports.written import changed, in_words

ENERGY = (
    "Energy is a model (constants of 45 nm CMOS, Horowitz 2014), never a measurement; memory "
    "and data movement are not in the simple model."
)
READ_FROM_TEST = "T* and best T are read from the test sweep itself"
HELD_OUT = (
    "; validation images were held out of the training; how settings were chosen is not recorded."
)


def caveats(analysis: Analysis, failed: Sequence[str] = ()) -> tuple[str, ...]:
    """Sentences, the gravest first. failed: title and reason of figures that could not be drawn."""
    altered = in_words(changed(analysis.study))
    found = [
        *([altered] if altered else []),
        *_seeds(analysis),
        *_drawn_input(analysis),
        *_no_spread(analysis),
        *_references(analysis),
        *_starts(analysis),
        *_not_reached(analysis),
        *_at_the_end(analysis),
        *of_cases(analysis),
        ENERGY,
        _held_out(analysis),
    ]
    if failed:
        found.append(f"Figures that could not be drawn: {'; '.join(failed)}.")
    return tuple(found)


def left_out(omitted: Iterable[Figure]) -> str:
    """Figures for which the study has no data; nothing where there is none."""
    missing = [f"{lowered(figure.title)} (needs {figure.needs})" for figure in omitted]
    return f"Figures left out for want of data: {'; '.join(missing)}." if missing else ""


def _seeds(analysis: Analysis) -> list[str]:
    counts = {len(set(curve.seeds)) for curve in analysis.curves}
    if counts == {1}:
        return [
            "One seed: intervals show the uncertainty of the test images, not of training. "
            "Another seed may rank the methods differently."
        ]
    if 1 in counts:
        single = _names(curve.label for curve in analysis.curves if len(set(curve.seeds)) == 1)
        return [f"One seed only: {single}."]
    if min(counts) < 5:
        return [
            f"{min(counts)} seeds: t-intervals over so few are wide, and tests rarely decide; "
            "intervals of T* and of ratios, by bootstrap, are too narrow where seeds differ much."
        ]
    return []


def _drawn_input(analysis: Analysis) -> list[str]:
    """Networks of one seed whose input is random: no interval has the chance of that draw."""
    records = analysis.study.records
    drawn = set(records.loc[records["encoding"].str.startswith("poisson"), "case"])
    spiking = [c for c in analysis.curves if c.arm != "ann"]
    names = [c.label for c in spiking if len(c.cases) == 1 and drawn & set(c.cases)]
    if not names:
        return []
    return [
        f"Input spikes were drawn at random, once: {_names(names)}. No interval has that chance."
    ]


def _no_spread(analysis: Analysis) -> list[str]:
    """Intervals of no width, which a few seeds have by chance."""
    names = [
        f"{curve.label} ({network})"
        for network, items in analysis.networks.items()
        for curve in items
        if len(set(curve.seeds)) > 1 and _equal(curve)
    ]
    if not names:
        return []
    return [
        f"All seeds have the same accuracy at the T that is reported: {_names(names)}. An interval "
        "of no width does not mean that other seeds would have it too."
    ]


def _equal(curve: Curve) -> bool:
    own = curve.measures["accuracy"][:, curve.index(curve.report_timestep)]
    return bool((own == own[0]).all())


def _at_the_end(analysis: Analysis) -> list[str]:
    """T* that is the last T of its sweep: nothing shows that accuracy stays there."""
    place = TOLERANCES.index(1.0)
    names = [
        f"{pace.curve.label} ({network})"
        for network, paces in analysis.paces.items()
        for pace in paces
        if pace.within and pace.within[place].value == int(pace.curve.latency[-1])
    ]
    if not names:
        return []
    return [
        f"T*(1 point) is the last T of the sweep: {_names(names)}. That accuracy stays there is "
        "not shown."
    ]


def _not_reached(analysis: Analysis) -> list[str]:
    place = TOLERANCES.index(1.0)
    result = []
    for network, paces in analysis.paces.items():
        missing = [p for p in paces if p.within and p.within[place].value is NOT_REACHED]
        left = [p for p in missing if p.trained and p.trained[place].value is not NOT_REACHED]
        never = [pace.curve for pace in missing if pace not in left]
        ann = reference(analysis.networks[network])
        if never and ann is not None and analysis.guessing(ann) is None:
            ends: dict[int, list[Curve]] = {}
            for curve in never:
                ends.setdefault(int(curve.latency[-1]), []).append(curve)
            result += [
                f"Not within 1 point of {the_ann(ann)} by T = {last} ({network}): "
                f"{_names(curve.label for curve in ends[last])}.{_longer(ends[last], ann)}"
                for last in sorted(ends, reverse=True)
            ]
        if left:
            result.append(
                f"Within 1 point of the ANN at the T it was trained for, and below it at larger T "
                f"({network}): {_names(p.curve.label for p in left)}. T*(1 point), which asks for "
                "every larger T, is not reached there; the steps up to the training T stand in a "
                "column of their own."
            )
    return result


def _longer(missing: Sequence[Curve], ann: Curve) -> str:
    """What a longer sweep may show: nothing of curves that do not approach the range."""
    target = float(ann.accuracy[0]) - POINT
    rising = [curve.label for curve in missing if approaches(curve, target)]
    if not rising:
        return ""
    which = "" if len(rising) == len(missing) else f", of {_names(rising)},"
    return f" A longer sweep{which} may get there."


def _references(analysis: Analysis) -> list[str]:
    """References that are no plain ANN."""
    found = {name: reference(items) for name, items in analysis.networks.items()}
    names = [name for name, ann in found.items() if ann is not None and the_ann(ann) != "the ANN"]
    if not names:
        return []
    return [
        f"No plain ANN was trained ({_names(names)}): the reference, of T* and of SNN − ANN, is "
        "the quantised ANN."
    ]


def _starts(analysis: Analysis) -> list[str]:
    """Methods that start from something else than the others of their arm."""
    study, networks = analysis.study, analysis.networks
    result = []
    for special, words in (
        (has_own_ann, "Converted from an ANN of its own, and held against the other one"),
        (is_tuned, "Not trained from scratch but from a conversion, whose ANN it needs too"),
    ):
        names = [
            f"{curve.label} ({network})"
            for network, items in networks.items()
            for curve in items
            if special(study, curve, items)
        ]
        if names:
            result.append(f"{words}: {_names(names)}.")
    return result


def _held_out(analysis: Analysis) -> str:
    """Where T* is read, and whether images were held out of the training, as far as is known."""
    kept: dict[bool, list[str]] = {True: [], False: []}
    for curve in analysis.curves:
        for name in curve.cases if curve.arm != "converted" else ():
            case = analysis.study.cases.get(name)
            facts = case.facts.get("dataset") if case is not None else None
            images = (facts or {}).get("validation_images")
            if images is None:
                return f"{READ_FROM_TEST}."
            kept[images > 0].append(curve.label)
    if not kept[False]:
        return f"{READ_FROM_TEST}{HELD_OUT if kept[True] else '.'}"
    which = f" from the training of {_names(kept[False])}" if kept[True] else ""
    return f"{READ_FROM_TEST}; no image was held out{which} to choose models and settings on."


def _names(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
