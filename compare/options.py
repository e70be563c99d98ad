"""The options of a study's methods, checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from compare import catalogue
from compare.cases import Case, given_options
from compare.data import AUGMENTATIONS
from compare.study import QUANTISED_ANN, Study, StudyError
from compare.ways import way_of
from conversion import CONVERSIONS, quantise_activations
from conversion.method import check_values, filled
from conversion.method import resolve_options as of_conversion
from conversion.methods.qcfs import LEVELS, PERCENTILE, START
from direct.rules import resolve_options as of_rule
from reports.tables.paper_measures import PAPER_MEASURES

ANN = "ann"
START_CONVERSION = "robust-norm"  # what hybrid and diet start from, their option `conversion`
QUANTISATION = {
    "levels": LEVELS, "start": START, "relu_share": 0.0, "percentile": PERCENTILE, "noise": 0.0,
    "scale_rate": 1.0,
}  # fmt: skip
"""Options of `quantise_activations`."""


def check_options(cases: Iterable[Case]) -> None:
    """Raise StudyError in one line for an option that a method does not have or take."""
    for case in cases:
        try:
            if case.augmentation is not None:
                AUGMENTATIONS.get(case.augmentation)
        except ValueError as error:
            raise StudyError(str(error)) from error
        _check(case.method, case.base, case.options)


def check_unused(study: Study) -> None:
    """Raise StudyError for what a study says of methods that it does not run, and of papers."""
    for name, given in study.options.items():
        _check(name, study.base_method(name), given)
    for name, variant in study.variants.items():
        _check(name, variant.method, given_options(study, name))
    for row in study.paper:
        if row.measure not in (None, *PAPER_MEASURES):
            raise StudyError(
                f"unknown measure {row.measure!r} in a [[paper]] row; known: "
                + ", ".join(PAPER_MEASURES)
            )


def _check(name: str, base: str, options: Mapping[str, Any]) -> None:
    """Of one method: `name` in the study, `base` registered."""
    try:
        if base == QUANTISED_ANN:
            # of any type: what the values may be is what is checked here
            quantise_activations(nn.ReLU(), **filled(base, QUANTISATION, options))  # type: ignore[arg-type]
            if "percentile" in options and not options.get("relu_share"):
                raise ValueError(f"{base}: percentile has an effect with relu_share above 0 only")
        elif catalogue.is_conversion(base):
            method = CONVERSIONS.get(base)
            check_values(method, of_conversion(method, options))
        elif base != ANN:
            rule_options(base, options)
    except ValueError as error:
        raise StudyError(f"{'' if name == base else f'{name}: '}{error}") from error


def rule_options(base: str, options: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any]]:
    """Of direct training: the conversion it starts from, or None, and the options of its rule."""
    way = way_of(base)
    given = {**way.options, **options}
    start = None
    if way.rule.needs_conversion:
        start = str(given.pop("conversion", START_CONVERSION))
        plain = CONVERSIONS.get(start).plain
        if plain is not None:
            raise ValueError(
                f"{base} starts from a conversion without observation steps; {start} spends them, "
                f"and without them is {plain}: choose {plain}"
            )
    return start, of_rule(way.rule, given)
