"""Accuracy against a numeric option of one method, a line per architecture (Lee 2016, fig. 1a)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from reports.analysis import Analysis
from reports.curves import Curve
from reports.figures.base import Figure, accuracy_axis, at_report, empty, identity, value_axis
from reports.figures.lines import whiskered
from reports.labels import VARIANT_KEYS
from reports.settings import in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = list[tuple[float, Curve]]
"""Values of one option with their networks, which are the same in everything else."""


def prepare(analysis: Analysis) -> pd.DataFrame:
    """Accuracy at the report T with its ends, of networks that differ in one numeric option.

    Columns: IDENTITY (the label names the line), option, value, accuracy, low, high. A panel is a
    data set, a method and one of its options.
    """
    panels: dict[str, list[tuple[str, Line, dict[str, str]]]] = {}
    for option, rest, line in _lines(analysis):
        first = line[0][1]
        panel = first.named(f"{option} of {first.base}")
        panels.setdefault(panel, []).append((option, line, rest))
    rows = []
    for panel, lines in panels.items():
        for place, (option, line, rest) in enumerate(lines):
            others = [other for _, own, other in lines if _same_network(own, line)]
            label = _label(line[0][1].architecture, rest, others)
            for value, curve in line:
                found = at_report(curve, "accuracy")
                if found is not None:
                    rows.append(
                        identity(curve)
                        | {"panel": panel, "label": label, "method": curve.base, "variant": place}
                        | {"option": option, "value": value}
                        | found
                    )
    return pd.DataFrame(rows) if rows else empty()


def _lines(analysis: Analysis) -> Iterator[tuple[str, dict[str, str], Line]]:
    """Each option, what else the networks of a line have been set to, and its two or more values.

    Values are those in force: a default is one like any other, where the case says what it was.
    """
    groups: dict[tuple[object, ...], list[tuple[dict[str, Any], dict[str, str], Curve]]] = {}
    for curve in analysis.curves:
        case = analysis.study.cases.get(curve.cases[0])
        if case and curve.arm != "ann":
            options = case.facts.get("options") or case.specification.get("options") or {}
            key = (curve.dataset, curve.setting, curve.base, curve.arm, curve.architecture)
            others = _others(case.specification)
            groups.setdefault(key, []).append((dict(options), others, curve))
    for members in groups.values():
        for option in dict.fromkeys(name for options, _, _ in members for name in options):
            yield from _along(option, members)


def _along(
    option: str, members: Iterable[tuple[dict[str, Any], dict[str, str], Curve]]
) -> Iterator[tuple[str, dict[str, str], Line]]:
    """The lines of one option: networks that are the same in all the rest."""
    lines: dict[tuple[tuple[str, str], ...], Line] = {}
    for options, others, curve in members:
        value = options.get(option)
        if isinstance(value, int | float) and not isinstance(value, bool):
            rest = others | in_words({k: v for k, v in options.items() if k != option})
            lines.setdefault(tuple(sorted(rest.items())), []).append((float(value), curve))
    for rest_items, line in lines.items():
        if len({value for value, _ in line}) > 1:
            yield option, dict(rest_items), sorted(line, key=lambda point: point[0])


def _others(specification: Mapping[str, Any]) -> dict[str, str]:
    """What a case was set to beside the options of its method."""
    keys = ("train_timesteps", "encoding", *VARIANT_KEYS)
    chosen = {key: specification[key] for key in keys if specification.get(key) is not None}
    return in_words(chosen | dict(specification.get("training") or {}))


def _same_network(one: Line, other: Line) -> bool:
    return one[0][1].architecture == other[0][1].architecture


def _label(architecture: str, rest: Mapping[str, str], others: list[dict[str, str]]) -> str:
    """The architecture, with whatever tells its line from others of it in the panel."""
    keys = sorted({key for other in others for key in other})
    varying = [key for key in keys if len({other.get(key) for other in others}) > 1]
    notes = ", ".join(f"{key} = {rest[key]}" for key in varying if key in rest)
    return f"{architecture} ({notes})" if notes else architecture


def draw(rows: pd.DataFrame, ax: Axes) -> None:
    """One option: a line with whiskers per architecture."""
    whiskered(rows, ax, "value", "accuracy", 100)
    value_axis(ax, rows["value"], str(rows["option"].iloc[0]))
    accuracy_axis(ax, rows["accuracy"], rows["low"], rows["high"])


FIGURE = Figure(
    "accuracy-option",
    "Accuracy against an option",
    "Accuracy of networks that differ in this option of their method alone, a line per "
    "architecture. Direct training at the T it was trained for, conversions at the largest T of "
    "the sweep.",
    "one method at several values of a numeric option",
    prepare,
    draw,
    spread="accuracy whisker",
)
