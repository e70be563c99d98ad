"""docs/reference.md, keys of study files and options of methods: `make reference`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from compare import catalogue
from compare import setting_words as words
from compare.study import PART_KEYS, QUANTISED_ANN, Study
from compare.study_tables import AnnTraining, Frames, Training, Variant
from compare.toml_text import pairs
from network.recipe import Recipe

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference.md"
HEAD = """# Study files and methods

Written by `python -m compare.reference_page`. A study file is TOML. A key that is left out has a \
default, an unknown one is an error, and the `study.toml` of a study's directory ends with all \
that was in force. `isospike list METHOD` shows a method's options too."""
TRAINING = "`[ann]`, `[direct]` and `[variants.NAME] training`"
_OWN = [f"`{name}`" for name in AnnTraining.model_fields if name not in Training.model_fields]
OF_ANNS = (
    f"{' and '.join(_OWN)} are for `[ann]` alone. Defaults of an ANN; rules have their own, below."
)


def page() -> str:
    """The page (loads torch)."""
    text = [HEAD, *_settings(), *_conversions(), *_rules(), *_presets()]
    return "\n".join(text) + "\n"


def _settings() -> Iterator[str]:
    from compare.resolved import ANN_RECIPE

    yield from _keys("Keys of a study", words.STUDY, _defaults(Study))
    yield from _keys(TRAINING, words.TRAINING, asdict(ANN_RECIPE), OF_ANNS, "")
    yield from _keys("`[variants.NAME]`", words.VARIANT, _defaults(Variant))
    yield from _keys("`[events.DATASET]`", words.FRAMES, _defaults(Frames))
    yield from _keys("`[[paper]]`", words.PAPER, {})
    yield from ("", "## `[[parts]]`", "", f"May set: {', '.join(sorted(PART_KEYS))}.")


def _keys(
    title: str, meanings: Mapping[str, str], defaults: Mapping[str, Any], *before: str
) -> Iterator[str]:
    yield from ("", f"## {title}", "", *before, "| key | default | |", "|---|---|---|")
    for key, meaning in meanings.items():
        default = defaults.get(key)
        shown = "" if default in (None, "", ()) else f"`{json.dumps(default)}`"
        yield f"| `{key}` | {shown} | {meaning} |"


def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    """The plain ones."""
    plain = (str, int, float, bool, tuple)
    found = {name: field.default for name, field in model.model_fields.items()}
    return {name: value for name, value in found.items() if isinstance(value, plain)}


def _conversions() -> Iterator[str]:
    from conversion import CONVERSIONS

    yield from ("", "## Conversions")
    for name in CONVERSIONS.names():
        method = CONVERSIONS.get(name)
        ann = "any ANN with ReLUs" if method.ann == "relu" else f"`{QUANTISED_ANN}`"
        of = f"From {ann}. Calibration images: {method.calibration_images}."
        yield from _method(name, f"{method.summary} ({method.source})", of)
    summary = "the ANN that qcfs, srp and offset start from, with quantised activations"
    yield from _method(QUANTISED_ANN, summary, "Trained as `[ann]` says.")


def _rules() -> Iterator[str]:
    from direct import RULES

    yield from ("", "## Rules of direct training")
    for name in RULES.names():
        rule = RULES.get(name)
        of = f"T = {rule.timesteps}, encoding {rule.encoding}, readout {rule.readout}. Training: "
        yield from _method(name, f"{rule.summary} ({rule.source})", of + _training(rule.recipe))


def _training(recipe: Recipe) -> str:
    """The number of epochs, and the settings that are not those of every recipe."""
    usual = asdict(Recipe())
    own = {k: v for k, v in asdict(recipe).items() if k == "epochs" or v != usual[k]}
    return ", ".join(f"`{pair}`" for pair in pairs(own)) + "."


def _method(name: str, summary: str, of: str) -> Iterator[str]:
    yield from ("", f"### `{name}`", "", f"*{summary}*", "", of, "")
    rows = catalogue.lines(name)
    yield from ("| option | |", "|---|---|") if rows else ("No options.",)
    yield from (f"| `{option}` | {meaning} |" for option, meaning in rows)


def _presets() -> Iterator[str]:
    from direct import PRESETS

    yield from ("", "## Presets", "")
    for name in PRESETS.names():
        preset = PRESETS.get(name)
        yield f"- `{name}`: {preset.summary} (rule `{preset.rule}`)."
    yield "\nWhat each has from its paper: [studies.md](studies.md#presets)."


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
