"""The options of a study's methods, checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from compare.cases import Case, given_options
from compare.data import AUGMENTATIONS
from compare.study import QUANTISED_ANN, Study, StudyError
from compare.ways import way_of
from conversion import CONVERSIONS
from conversion.methods.qcfs import QUANTISATION
from network.options import Option, Options, resolve
from reports.tables.paper_measures import PAPER_MEASURES

ANN = "ann"


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
        _check_start(study, name)
    for name, variant in study.variants.items():
        _check(name, variant.method, given_options(study, name))
    for row in study.paper:
        if row.measure not in (None, *PAPER_MEASURES):
            raise StudyError(
                f"unknown measure {row.measure!r} in a [[paper]] row; known: "
                + ", ".join(PAPER_MEASURES)
            )


def _check_start(study: Study, name: str) -> None:
    """Of options of a conversion that the study does not run, but trains on from."""
    methods = study.every("methods")
    if name in map(study.base_method, methods):
        return
    for method in methods:
        base = study.base_method(method)
        if base in (ANN, QUANTISED_ANN) or base in CONVERSIONS:
            continue
        if rule_options(base, given_options(study, method))[0] == name:
            raise StudyError(
                f"[options.{name}] has no effect: {method} starts from {name} with its default "
                f"options, and {name} is not among the methods: {', '.join(methods)}"
            )


def _check(name: str, base: str, given: Mapping[str, Any]) -> None:
    """Of one method: `name` in the study, `base` registered."""
    try:
        resolved(base, given)
    except ValueError as error:
        raise StudyError(f"{'' if name == base else f'{name}: '}{error}") from error


def resolved(base: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of a method, a preset's own in place of its rule's.

    Raises OptionError, or UnknownName for a method that there is none of.
    """
    own = {} if base in (ANN, QUANTISED_ANN) or base in CONVERSIONS else way_of(base).options
    return resolve(base, options_of_method(base), {**own, **given})


def options_of_method(base: str) -> Options:
    """What a conversion, a rule, a preset's rule or an ANN declares.

    Of a rule that trains on from a converted network, also the conversion it starts from.
    """
    if base == ANN:
        return {}
    if base == QUANTISED_ANN:
        return QUANTISATION
    if base in CONVERSIONS:
        return CONVERSIONS.get(base).options
    rule = way_of(base).rule
    return {"conversion": _start(), **rule.options} if rule.needs_conversion else rule.options


def _start() -> Option:
    """The option `conversion`: one that observes no steps, since these would not be trained."""
    plain = {name: CONVERSIONS.get(name).plain for name in CONVERSIONS}
    refused = {
        name: f"{name} spends steps of observation, and without them is {other}: choose {other}"
        for name, other in plain.items()
        if other is not None
    }
    meaning = "the conversion that is fine-tuned, made with its default options"
    return Option("robust-norm", meaning, choices=CONVERSIONS, refused=refused)


def rule_options(base: str, given: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Of direct training: the conversion it starts from, or None, and the options of its rule."""
    options = resolved(base, given)
    return options.pop("conversion", None), options
