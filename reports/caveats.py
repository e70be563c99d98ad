"""What a reader must know before believing a report, found in the data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from reports.analysis import Analysis
from reports.arithmetic import sweeps, training_precisions
from reports.curves import Curve, reference, rises, the_ann
from reports.figures.base import Figure
from reports.metrics import NOT_REACHED, TOLERANCES
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
        *_as_it_came(analysis),
        *_no_spread(analysis),
        *_references(analysis),
        *_not_reached(analysis),
        *_at_the_end(analysis),
        *_datasets(analysis),
        *_mixtures(analysis),
        *_incomplete(analysis),
        ENERGY,
        _held_out(analysis),
    ]
    if failed:
        found.append(f"Figures that could not be drawn: {'; '.join(failed)}.")
    return tuple(found)


def left_out(omitted: Iterable[Figure]) -> str:
    """Figures for which the study has no data; nothing where there is none."""
    missing = [f"{figure.title.lower()} (needs {figure.needs})" for figure in omitted]
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


def _as_it_came(analysis: Analysis) -> list[str]:
    """ANNs of which nothing is known but their weights."""
    cases = analysis.study.cases.values()
    specs = [dict(case.facts.get("spec") or {}) for case in cases]
    names = [
        str(spec.get("architecture"))
        for spec in specs
        if spec.get("arm") == "ann" and dict(spec.get("training") or {}).get("epochs") == 0
    ]
    if not names:
        return []
    return [
        f"The ANN of {_names(names)} was not trained here: it has the weights that it came with. "
        "What it was trained on, and for how long, is not known; a spread over seeds is that of "
        "calibration and of direct training alone."
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
                f"{_names(curve.label for curve in ends[last])}.{_longer(ends[last])}"
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


def _longer(missing: Sequence[Curve]) -> str:
    """What a longer sweep may show: nothing of curves that no longer rise."""
    rising = [curve.label for curve in missing if rises(curve)]
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


def _datasets(analysis: Analysis) -> list[str]:
    result = []
    for facts in _distinct(analysis, "dataset"):
        name = facts.get("name", "the data set")
        note = f" ({facts['note']})" if facts.get("note") else ""
        if facts.get("official") is False:
            result.append(f"{name} is a copy that differs from the official files{note}.")
        elif note:
            result.append(f"About {name}: {facts['note']}.".replace("..", "."))
    return list(dict.fromkeys(result))


def _mixtures(analysis: Analysis) -> list[str]:
    """Cases of one study that were not made alike."""
    result = []
    versions = _distinct(analysis, "versions")
    if len(versions) > 1:
        changed = sorted({k for v in versions for k in v if len({w.get(k) for w in versions}) > 1})
        result.append(f"Cases were run with different versions of {_names(changed)}.")
    machines = _distinct(analysis, "machine")
    if len({machine.get("processor") for machine in machines}) > 1:
        result.append("Cases were run on different machines; their times do not compare.")
    result += _precision(analysis)
    images = {curve.images for curve in analysis.curves}
    if len(images) > 1:
        result.append(f"Cases were tested on different numbers of images: {sorted(images)}.")
    return result


def _precision(analysis: Analysis) -> list[str]:
    """Where sums are rounded, so that their order decides: in training, and in which sweeps."""
    precisions = training_precisions(analysis)
    if len(precisions) > 1:
        return [f"Cases differ in precision: {_names(sorted(precisions))}."]
    if not precisions:
        return []
    swept = sweeps(analysis)
    rounded = [name for kind, own in swept.items() if not kind.startswith("int") for name in own]
    whole = [kind for kind in swept if kind.startswith("int")]
    if whole and not rounded:
        return [
            f"Trained in {precisions[0]}, where another machine may differ in the last digits; "
            "sweeps are in whole numbers, the same everywhere for the same weights."
        ]
    kinds = _names([*precisions, *(kind for kind in swept if kind not in whole)])
    where = f" (sweeps: of {_names(rounded)}; the others are in whole numbers)" if whole else ""
    return [
        f"Precision {kinds}{where}: where sums are rounded, their order can decide single spikes, "
        "so another machine may differ in the last digits."
    ]


def _incomplete(analysis: Analysis) -> list[str]:
    cases = analysis.study.cases
    names = [name for curve in analysis.curves for name in curve.cases]
    without = [n for n in names if n not in cases or cases[n].correctness is None]
    if without:
        return [
            f"{len(without)} of {len(names)} cases kept no per-image results: no bootstrap "
            "intervals and no McNemar tests for their networks."
        ]
    return []


def _distinct(analysis: Analysis, key: str) -> Sequence[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    for case in analysis.study.cases.values():
        facts = dict(case.facts.get(key) or {})
        if facts and facts not in result:
            result.append(facts)
    return result


def _names(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
