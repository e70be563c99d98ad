"""From which trained ANN a spiking network starts: the plain one, one of its own, or none."""

from __future__ import annotations

from collections.abc import Iterable

from reports.curves import Curve, reference
from reports.frame import Study


def started_from(study: Study, curve: Curve, items: Iterable[Curve]) -> Curve | None:
    """The ANN among `items` that the cases of a curve start from; None where they start from none,
    or from one that is not there."""
    owners = {name: ann for ann in items if ann.arm == "ann" for name in ann.cases}
    facts = (study.cases[name].facts for name in curve.cases if name in study.cases)
    return next((owners[f["ann_case"]] for f in facts if f.get("ann_case") in owners), None)


def has_own_ann(study: Study, curve: Curve, items: Iterable[Curve]) -> bool:
    """Whether a conversion starts from another ANN than the one that its network is held against:
    one that was trained for it."""
    network = list(items)
    ann = started_from(study, curve, network)
    return curve.arm == "converted" and ann is not None and ann is not reference(network)


def is_tuned(study: Study, curve: Curve, items: Iterable[Curve]) -> bool:
    """Whether a direct training starts from a conversion instead of from nothing."""
    return curve.arm == "direct" and started_from(study, curve, items) is not None
