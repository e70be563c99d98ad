"""What a case ran with, every default filled in: its recipe of training and its options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, TypeVar

from compare.cases import Case, representation_of
from compare.data import Dataset
from compare.earlier import MARK
from compare.options import resolved
from compare.toml_text import pairs
from compare.ways import way_of
from conversion import CONVERSIONS
from network.recipe import AnnRecipe, Recipe

R = TypeVar("R", bound=Recipe)

ANN_RECIPE = AnnRecipe(epochs=8, batch_size=100, learning_rate=2e-3)


def recipe_of(case: Case) -> Recipe | None:
    """The recipe that trains the case's own network; None for a conversion."""
    if case.arm == "converted":
        return None
    return for_case(ANN_RECIPE if case.arm == "ann" else way_of(case.base).recipe, case)


def as_it_comes(case: Case) -> bool:
    """Whether it is an ANN that is not trained here, but has the weights that it comes with."""
    return case.arm == "ann" and case.training.get("epochs") == 0


def for_case(recipe: R, case: Case) -> R:
    """A recipe in the case's precision and with what its study sets otherwise."""
    # a case holds plain values; those of a training were checked when the study was read
    return replace(recipe, precision=case.precision, **case.training)  # type: ignore[arg-type]


def options_of(case: Case) -> dict[str, Any]:
    """Every option of the case's method; of a direct one also the conversion it starts from."""
    return resolved(case.base, case.options)


def calibration_images(case: Case, conversion: str) -> int:
    """How many images a conversion looks at: the case's number, or its own."""
    return case.calibration_images or CONVERSIONS.get(conversion).calibration_images


def in_force(cases: Iterable[Case], datasets: Mapping[str, Dataset]) -> str:
    """For the end of study.toml: images, recipe and options of every method, as comments."""
    cases = list(cases)
    lines = dict.fromkeys(_data(case, datasets[case.dataset]) for case in cases)
    for case in cases:
        recipe, options = recipe_of(case), options_of(case)
        if recipe is not None:
            said = {"epochs": 0} if as_it_comes(case) else asdict(recipe)
            if case.train_timesteps is not None:
                said = {"train_timesteps": case.train_timesteps, **said}
            lines[f"# {case.method}, training: {', '.join(pairs(said))}"] = None
        if options:
            lines[f"# {case.method}, options: {', '.join(pairs(options))}"] = None
        start = case.base if case.arm == "converted" else options.get("conversion")
        if start is not None:
            count = min(calibration_images(case, start), len(datasets[case.dataset].train))
            lines[f"# {case.method}, calibration: calibration_images = {count}"] = None
    return "\n".join(["", MARK, *lines, ""])


def _data(case: Case, data: Dataset) -> str:
    """How many images there are of each part, and what is done to those of training."""
    events = representation_of(case) in ("events", "mean-events")
    found = {
        "train_images": len(data.train),
        "validation_images": len(data.validation),
        "test_images": len(data.test),
        "augmentation": "none" if events else case.augmentation or data.augmentation,
    }
    return f"# {case.dataset}, images: {', '.join(pairs(found))}"
