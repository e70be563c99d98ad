"""The options of a study's methods, checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from compare.cases import Case
from compare.data import AUGMENTATIONS
from compare.study import QUANTISED_ANN, StudyError
from compare.ways import way_of
from conversion import CONVERSIONS
from conversion.method import check_values, filled
from conversion.method import resolve_options as of_conversion
from conversion.methods.qcfs import LEVELS, START
from direct.rules import resolve_options as of_rule

START_CONVERSION = "robust-norm"  # what hybrid and diet start from, their option `conversion`
QUANTISATION = {"levels": LEVELS, "start": START}  # of `quantise_activations`


def check_options(cases: Iterable[Case]) -> None:
    """Raise StudyError in one line for an option that a method does not have or take."""
    for case in cases:
        try:
            if case.augmentation is not None:
                AUGMENTATIONS.get(case.augmentation)
            if case.arm == "converted":
                method = CONVERSIONS.get(case.base)
                check_values(method, of_conversion(method, case.options))
            elif case.arm == "direct":
                rule_options(case)
            elif case.base == QUANTISED_ANN:
                filled(case.base, QUANTISATION, case.options)
        except ValueError as error:
            whose = "" if case.method == case.base else f"{case.method}: "
            raise StudyError(f"{whose}{error}") from error


def rule_options(case: Case) -> tuple[str | None, Mapping[str, Any]]:
    """Of a direct case: the conversion it starts from, or None, and the options of its rule."""
    way = way_of(case.base)
    given = {**way.options, **case.options}
    start = None
    if way.rule.needs_conversion:
        start = str(given.pop("conversion", START_CONVERSION))
        CONVERSIONS.get(start)
    return start, of_rule(way.rule, given)
