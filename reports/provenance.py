"""Where the numbers of a report come from: command, commit, versions, machine, times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from reports import numbers
from reports.analysis import Analysis
from reports.arithmetic import in_words, sweeps, training_precisions
from reports.durations import whole


@dataclass(frozen=True)
class Fact:
    """One line of the provenance."""

    name: str
    text: str


def commands(analysis: Analysis) -> tuple[str, ...]:
    """The exact commands that made the cases, each once."""
    found = (str(case.facts.get("command") or "") for case in analysis.study.cases.values())
    return tuple(dict.fromkeys(command for command in found if command))


def compared(analysis: Analysis) -> tuple[Fact, ...]:
    """What was compared, in a few lines."""
    curves, cases = analysis.curves, list(analysis.study.cases.values())
    images: dict[str, dict[str, None]] = {}
    parameters: dict[str, set[int]] = {}
    for case in cases:
        data, count = case.facts.get("dataset") or {}, case.facts.get("parameters")
        if text := _images(data):
            images.setdefault(str(data.get("name")), {})[text] = None
        if count:
            architecture = str(case.specification.get("architecture"))
            parameters.setdefault(architecture, set()).add(int(count))
    spiking = [curve for curve in curves if curve.arm != "ann"]
    seeds = sorted({seed for curve in curves for seed in curve.seeds})
    lines = [
        Fact("Data", "; ".join(_with(name, images.get(name, ()))
                               for name in dict.fromkeys(curve.dataset for curve in curves))),
        Fact("Network", ", ".join(_with(name, _counts(parameters.get(name, ())), " parameters")
                                  for name in dict.fromkeys(c.architecture for c in curves))),
        Fact("Converted by", _methods(c.label for c in spiking if c.arm == "converted")),
        Fact("Trained directly by", _methods(_trained(c.label, c.train_timesteps)
                                             for c in spiking if c.arm == "direct")),
        Fact("Epochs of training", _epochs(analysis)),
        Fact("Sweep", _sweep([int(t) for c in spiking for t in (c.timesteps[0], c.timesteps[-1])])),
        Fact("Seeds", f"{len(seeds)} ({', '.join(str(seed) for seed in seeds)})"),
    ]  # fmt: skip
    return tuple(line for line in lines if line.text)


def provenance(analysis: Analysis) -> tuple[Fact, ...]:
    """Versions, machine, commit, fingerprint, and how long it took."""
    cases = list(analysis.study.cases.values())
    facts = [case.facts for case in cases]
    times = [whole(case) for case in cases]
    finished = sorted(str(f["finished"]) for f in facts if f.get("finished"))
    lines = [
        Fact("Cases", str(len(cases))),
        Fact("Versions", _each(_pairs(f.get("versions")) for f in facts)),
        Fact("Commit", _each(str(f.get("commit") or "") for f in facts)),
        Fact("Machine", _each(_machine(f.get("machine")) for f in facts)),
        Fact("Training precision", "; ".join(training_precisions(analysis))),
        Fact("Sweeps", in_words(sweeps(analysis))),
        Fact("Data fingerprint", _each(_fingerprint(f.get("dataset")) for f in facts)),
        Fact("Computing time", numbers.seconds(sum(times)) if sum(times) > 0 else ""),
        Fact("Finished", finished[-1] if finished else ""),
        Fact("Source of the study", analysis.study.source),
    ]  # fmt: skip
    return tuple(line for line in lines if line.text)


def _images(facts: dict[str, Any]) -> str:
    """How many images a case trained on, held out and was tested on."""
    return ", ".join(
        f"{facts[key]:,} {word}"
        for key, word in (
            ("train_images", "training"),
            ("validation_images", "validation"),
            ("test_images", "test images"),
        )
        if facts.get(key)
    )


def _counts(values: Iterable[int]) -> list[str]:
    return [numbers.count(value) for value in sorted(values)]


def _with(name: str, known: Iterable[str], what: str = "") -> str:
    """A name with what its cases say of it in brackets, each once."""
    texts = " or ".join(dict.fromkeys(known))
    return f"{name} ({texts}{what})" if texts else name


def _trained(label: str, timesteps: int | None) -> str:
    return label if timesteps is None or "T=" in label else f"{label} (T = {timesteps})"


def _epochs(analysis: Analysis) -> str:
    """How long every network was trained: method -> epochs, as its history has them."""
    history = analysis.study.history
    if history is None or "epoch" not in history:
        return ""
    last = history.groupby("case")["epoch"].max()
    counts: dict[str, dict[str, None]] = {}
    for curve in analysis.curves:
        for name in curve.cases if curve.arm != "converted" else ():
            if name in last.index:
                counts.setdefault(curve.label, {})[f"{int(last[name]):,}"] = None
    return ", ".join(f"{label}: {' or '.join(own)}" for label, own in counts.items())


def _sweep(ends: list[int]) -> str:
    return f"T = {min(ends)} to {max(ends)}" if ends else ""


def _methods(labels: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(labels))


def _each(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))


def _pairs(facts: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in (facts or {}).items() if value)


def _machine(facts: Any) -> str:
    facts = facts or {}
    parts = [str(facts[key]) for key in ("processor", "accelerator") if facts.get(key)]
    parts += [
        f"{facts[key]} {key if facts[key] != 1 else key[:-1]}"
        for key in ("cores", "threads")
        if facts.get(key)
    ]
    if facts.get("memory_gb"):
        parts.append(f"{facts['memory_gb']} GB")
    return ", ".join(parts)


def _fingerprint(facts: Any) -> str:
    facts = facts or {}
    mark = str(facts.get("fingerprint") or "")
    return f"{facts.get('name', '')} {mark[:16]}".strip() if mark else ""
