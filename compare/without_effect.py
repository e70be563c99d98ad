"""Settings of a study that nothing in it would use: refused, not dropped in silence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from compare import catalogue
from compare.cases import Case
from compare.options import rule_options
from compare.resolved import as_it_comes, recipe_of
from compare.study import OF_ARCHITECTURES, QUANTISED_ANN, Study, StudyError
from compare.study_tables import Training
from compare.ways import way_of

# What a training setting wants to have an effect: setting -> (field of the recipe, its values).
WANTED = {
    "milestones": ("schedule", ("step",)),
    "gamma": ("schedule", ("step",)),
    "warm_up": ("schedule", ("one-cycle", "triangle")),
    "momentum": ("optimiser", ("sgd",)),
    "nesterov": ("optimiser", ("sgd",)),
}

FRESH = {"whitened", "identity", "fixed_scales"}  # what only a fresh network starts with
NORMS = {"bias_rate", "fixed_scales"}  # what is said of batch norms


def check_settings(study: Study, cases: Iterable[Case]) -> None:
    """Raises StudyError for a setting that none of the cases it is for would use."""
    cases = list(cases)
    moved = [c.augmentation for c in cases if c.encoding == "events" and c.augmentation]
    if any(name != "none" for name in moved):
        raise StudyError(
            f'augmentation is for images, and recordings are trained on as they are: "none" '
            f"or nothing is allowed; got {moved[0]!r}"
        )
    _check_architectures(study, cases)
    _check_untrained(cases)
    _check_conversions(study)
    for where, table, concerned in _trainings(study, cases):
        given = {name for name, value in table.overrides().items() if value not in ((), False)}
        if concerned:
            _check_training(where, given, concerned)


def _check_architectures(study: Study, cases: list[Case]) -> None:
    """What networks are built with does not reach those of the user's own."""
    for name in OF_ARCHITECTURES:
        built: dict[Any, list[str]] = {}
        for part in study.divided():
            built.setdefault(getattr(part, name), []).extend(part.architectures)
        default = Study.model_fields[name].default
        for value, names in built.items():
            if value != default and all(map(_is_own, names)):
                raise StudyError(
                    f"{name} has an effect on registered architectures only: beside "
                    f"{', '.join(names)} it can be {_said(default)} or left out; got {_said(value)}"
                )
    for method, variant in study.variants.items():
        used = dict.fromkeys(case.architecture for case in cases if case.method == method)
        given = [name for name in OF_ARCHITECTURES if name in variant.setting()]
        if given and used and all(map(_is_own, used)):
            raise StudyError(
                f"[variants.{method}] {given[0]} has an effect on registered architectures only; "
                f"got {', '.join(used)}"
            )


def _check_untrained(cases: list[Case]) -> None:
    """[ann] epochs = 0 is for networks that come with weights, and for the ReLUs they come with."""
    untrained = [case for case in cases if as_it_comes(case)]
    for case in untrained:
        if not _is_own(case.architecture):
            raise StudyError(
                "[ann] epochs = 0 takes a network with the weights that it comes with; allowed are "
                f"networks of your own (file.py:function), got {case.architecture}"
            )
        if case.base == QUANTISED_ANN:
            methods = dict.fromkeys(c.method for c in cases if c.ann == case)
            raise StudyError(
                f"{', '.join(methods)}: its ANN is trained with quantised activations, which "
                "[ann] epochs = 0 does not do; allowed are 1 epoch or more, or other methods"
            )
        for name in case.training:
            if name != "epochs":
                raise StudyError(f"[ann] {name} has an effect with 1 epoch or more only; got 0")


def _is_own(architecture: str) -> bool:
    """Whether it is a network of the user's."""
    return ":" in architecture


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_conversions(study: Study) -> None:
    """A conversion trains nothing."""
    for name, variant in study.variants.items():
        given = list(variant.training.overrides())
        if variant.train_timesteps is not None:
            given.append("train_timesteps")
        if given and catalogue.is_conversion(variant.method):
            raise StudyError(
                f"[variants.{name}] {given[0]} has an effect on methods of direct training only, "
                f"and {variant.method} is a conversion: [ann] trains what it starts from"
            )


def _trainings(study: Study, cases: list[Case]) -> Iterator[tuple[str, Training, list[Case]]]:
    """Every table of training settings: where it stands, and the cases that are trained by it."""
    parts = study.divided()
    variants = {name: variant.training.overrides() for name, variant in study.variants.items()}
    for ann in dict.fromkeys(part.ann for part in parts):
        where = "[ann]" if ann == study.ann else "[[parts]] ann"
        own = [c for c in cases if c.arm == "ann" and c.training == ann.overrides()]
        yield where, ann, own
    for direct in dict.fromkeys(part.direct for part in parts):
        where = "[direct]" if direct == study.direct else "[[parts]] direct"
        own = [
            case
            for case in cases
            if case.arm == "direct"
            and case.training == {**direct.overrides(), **variants.get(case.method, {})}
        ]
        yield where, direct, own
    for name, variant in study.variants.items():
        own = [case for case in cases if case.method == name]
        yield f"[variants.{name}] training", variant.training, own


def _check_training(where: str, given: set[str], concerned: list[Case]) -> None:
    """Of the settings that one table gives to the cases it is for."""
    methods = ", ".join(dict.fromkeys(case.method for case in concerned))
    normed = [case for case in concerned if case.batch_norm]
    for setting in sorted(given & NORMS):
        if not normed:
            raise StudyError(f"{where} {setting} has an effect with batch_norm = true only")
    for setting in sorted(given & FRESH):
        if not any(map(_starts_fresh, concerned)):
            raise StudyError(
                f"{where} {setting} has an effect on networks that start fresh, with weights "
                f"that their rule does not draw, only; got {methods}"
            )
    if "bias_rate" in given and all(map(_starts_converted, normed)):
        raise StudyError(
            f"{where} bias_rate has an effect on networks with batch norm only, and a converted "
            f"one has it folded into its weights; got {methods}"
        )
    for setting in sorted(given & WANTED.keys()):
        field, values = WANTED[setting]
        found = {
            f"{case.method} {getattr(recipe, field)}": getattr(recipe, field)
            for case in concerned
            if (recipe := recipe_of(case)) is not None
        }
        if found and not set(values) & set(found.values()):
            wanted = " or ".join(f'"{value}"' for value in values)
            raise StudyError(
                f"{where} {setting} has an effect with {field} = {wanted} only; got "
                + ", ".join(found)
            )


def _starts_converted(case: Case) -> bool:
    """Whether its training goes on from a converted network."""
    return case.arm == "direct" and rule_options(case.base, case.options)[0] is not None


def _starts_fresh(case: Case) -> bool:
    """Whether its network is a new one, and its rule leaves the first weights as they are."""
    if case.arm != "direct":
        return case.arm == "ann"
    start, options = rule_options(case.base, case.options)
    return start is None and not options.get("draw_weights", way_of(case.base).rule.draws_weights)
