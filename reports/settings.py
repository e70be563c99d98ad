"""Which networks of one architecture and data set may be held against each other.

A spiking network is held against the ANN that it came from, or that has its layers and images.
Where an architecture was trained as several ANNs (of several widths, with and without batch norm,
on more or fewer images), each of them and what belongs to it is a network of its own. The other
depths of its family say the same of themselves, so that those of one setting are known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from reports.frame import Case, Study

Facts = Mapping[str, Any]

ARRAYS = ("fingerprint", "train_images", "test_images")
LAYERS = ("width", "batch_norm", "dropout", "encoding")
WORDS = {"train_images": "training images", "test_images": "test images"}


def settings(study: Study) -> dict[str, str]:
    """Per case, what tells its network from others of its architecture and data set, in words."""
    families: dict[tuple[str, str], dict[str, list[Case]]] = {}
    for case in study.cases.values():
        dataset, architecture = (
            str(case.specification.get(key)) for key in ("dataset", "architecture")
        )
        members = families.setdefault((dataset, family(architecture)), {})
        members.setdefault(architecture, []).append(case)
    result: dict[str, str] = {}
    for members in families.values():
        result |= _told_apart([_groups(own) for own in members.values()])
    return result


def family(architecture: str) -> str:
    """The architecture's name without its depth: `vgg` of `vgg9`."""
    return re.sub(r"[\d-]+$", "", architecture)


def _groups(members: list[Case]) -> dict[str, Mapping[str, str]]:
    """Per case of one architecture, the facts of the ANN that it is held against."""
    facts = {case.name: _facts(case) for case in members}
    plain = [case.name for case in members if case.specification.get("method") == "ann"]
    owners = {case.name: _owner(case, plain, facts) for case in members}
    return {name: facts[owner] if owner else _bare(facts[name]) for name, owner in owners.items()}


def _told_apart(architectures: list[dict[str, Mapping[str, str]]]) -> dict[str, str]:
    """The facts in which groups of any one architecture differ, in words, for all of its family."""
    varying = sorted({key for groups in architectures for key in _varying(groups)})
    if any(key in varying for key in WORDS):
        varying = [key for key in varying if key != "fingerprint"]
    return {
        name: ", ".join(_words(key, group[key]) for key in varying if key in group)
        for groups in architectures
        for name, group in groups.items()
    }


def _varying(groups: Mapping[str, Mapping[str, str]]) -> list[str]:
    keys = {key for group in groups.values() for key in group}
    return [k for k in keys if len({g[k] for g in groups.values() if k in g}) > 1]


def _facts(case: Case) -> dict[str, str]:
    """What decides how accurate an ANN is, its seed and the machine's arithmetic aside."""
    spec, data = case.specification, dict(case.facts.get("dataset") or {})
    found = {key: data.get(key) for key in ARRAYS} | {key: spec.get(key) for key in LAYERS}
    found |= {"augmentation": spec.get("augmentation"), **(spec.get("training") or {})}
    return in_words({key: value for key, value in found.items() if value is not None})


def in_words(facts: Facts) -> dict[str, str]:
    """Settings with their values as text."""
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in facts.items()}


def _bare(facts: Mapping[str, str]) -> dict[str, str]:
    return {key: facts[key] for key in (*ARRAYS, "width") if key in facts}


def _owner(case: Case, plain: list[str], facts: Mapping[str, Facts]) -> str | None:
    """The ANN that a case is held against: its own, or the most alike of its width and data."""
    own = case.facts.get("ann_case")
    if case.name in plain:
        return case.name
    if own in plain:
        return str(own)
    mine = facts[case.name]
    alike = [
        name
        for name in plain
        if all(facts[name].get(key) == mine.get(key) for key in ("fingerprint", "width"))
    ]
    shared = {name: sum(facts[name].get(k) == mine.get(k) for k in LAYERS) for name in alike}
    return max(alike, key=lambda name: shared[name], default=None)


def _words(key: str, value: str) -> str:
    if key in WORDS:
        return f"{int(value):,} {WORDS[key]}"
    return f"data {value[:6]}" if key == "fingerprint" else f"{key.replace('_', ' ')} {value}"
