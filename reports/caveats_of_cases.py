"""What a reader must know of the data and the cases behind a report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from reports.analysis import Analysis
from reports.arithmetic import sweeps, training_precisions
from reports.metrics import POINT

FEW_IMAGES = 1000
"""Up to so many test images a point of accuracy is ten of them or fewer."""


def of_cases(analysis: Analysis) -> list[str]:
    """ANNs that were not trained here, data that are not the official ones or not all of them,
    cases that were not made alike, and what a case did not keep."""
    return [
        *_as_it_came(analysis),
        *_datasets(analysis),
        *_mixtures(analysis),
        *_incomplete(analysis),
    ]


def _as_it_came(analysis: Analysis) -> list[str]:
    """ANNs of which nothing is known but their weights."""
    specs = [case.specification for case in analysis.study.cases.values()]
    names = [
        str(spec.get("architecture"))
        for spec in specs
        if spec.get("arm") == "ann" and dict(spec.get("training") or {}).get("epochs") == 0
    ]
    if not names:
        return []
    return [
        f"The ANN of {', '.join(dict.fromkeys(names))} was not trained here: it has the weights "
        "that it came with. What it was trained on, and for how long, is not known; a spread over "
        "seeds is that of calibration and of direct training alone."
    ]


def _datasets(analysis: Analysis) -> list[str]:
    result = []
    for facts in _distinct(analysis, "dataset"):
        name = facts.get("name", "the data set")
        note = f" ({facts['note']})" if facts.get("note") else ""
        if facts.get("official") is False:
            result.append(f"{name} is a copy that differs from the official files{note}.")
        elif note:
            result.append(f"About {name}: {facts['note']}.".replace("..", "."))
    result += _part_of_data(analysis)
    return list(dict.fromkeys(result))


def _part_of_data(analysis: Analysis) -> list[str]:
    """Images that a study leaves out by its settings, and tests on so few that each one counts."""
    result = []
    for case in analysis.study.cases.values():
        facts = case.facts.get("dataset") or {}
        kinds = [
            f"{facts[key]:,} {word}"
            for key, word in (("train_images", "training"), ("test_images", "test"))
            if case.specification.get(key) and facts.get(key)
        ]
        if kinds:
            parts = " and ".join(kinds)
            result.append(f"A part of {facts.get('name', 'the data set')} alone: {parts} images.")
    for images in sorted({curve.images for curve in analysis.curves}):
        if images <= FEW_IMAGES:
            result.append(
                f"{images:,} test images: a point of accuracy is {images * POINT:.3g} of them, so "
                "few images decide T*."
            )
    return result


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
    kinds = _names(kind for kind in swept if kind not in whole)
    start = f"in {precisions[0]}{f', swept in {kinds}' if kinds else ''}"
    if kinds == precisions[0] and not whole:
        start = f"and swept in {kinds}"
    start += f" ({_names(rounded)}; the others in whole numbers)" if whole else ""
    return [
        f"Trained {start}: where sums are rounded, their order can decide "
        "single spikes, so another machine may differ in the last digits."
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
