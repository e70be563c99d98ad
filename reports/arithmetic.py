"""In which arithmetic networks were trained, and in which they were swept."""

from __future__ import annotations

import re

from reports.analysis import Analysis
from reports.words import listed


def training_precisions(analysis: Analysis) -> tuple[str, ...]:
    """What the cases say, each once."""
    cases = analysis.study.cases.values()
    found = [(case.facts.get("machine") or {}).get("precision") for case in cases]
    return tuple(dict.fromkeys(str(precision) for precision in found if precision))


def sweeps(analysis: Analysis) -> dict[str, tuple[str, ...]]:
    """The arithmetic that spiking networks were swept in -> their methods, the most usual first.

    Empty where no case says; a case says more than the name (`float32, since conv1 leaks`).
    """
    found: dict[str, list[str]] = {}
    for curve in analysis.curves:
        for name in curve.cases if curve.arm != "ann" else ():
            case = analysis.study.cases.get(name)
            machine = (case.facts.get("machine") if case is not None else None) or {}
            kind = re.split("[:,]", str(machine.get("sweep_arithmetic") or ""))[0]
            if kind:
                found.setdefault(kind, []).append(curve.label)
    usual = sorted(found, key=lambda kind: -len(found[kind]))
    return {kind: tuple(dict.fromkeys(found[kind])) for kind in usual}


def in_words(swept: dict[str, tuple[str, ...]]) -> str:
    """`int16; offset and srp float32`: the usual arithmetic, and who was swept in another."""
    usual, *others = swept or ("",)
    return "; ".join([usual, *(f"{listed(swept[kind])} {kind}" for kind in others)])
