"""docs/studies.md from built-in studies and presets: `python -m compare.studies_page`."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

from compare import catalogue
from compare.study import STUDIES, Study, builtin_studies, load_study

PAGE = Path(__file__).resolve().parent.parent / "docs" / "studies.md"
HEAD = """# Built-in studies

Written by `python -m compare.studies_page` from `compare/studies/*.toml`.
`isospike compare STUDY` runs one; its report sets the published numbers beside ours. Where two \
studies have cases in common, the second runs only what is new, in the same `--out`.
`--dataset`, `--architecture`, `--methods`, `--seeds` and `--timesteps` cut a study down; \
`isospike data` says what data it needs and where they are looked for.

Times are estimates from operation counts (`python -m compare.estimate STUDY`), all cases in \
turn: for 2 cores at the rates of [benchmarks.md](benchmarks.md), for one H100 at a tenth of \
its peak. They were not measured; what the studies that were run here took stands in \
[receipts](receipts).
"""


PRESETS_HEAD = """
# Presets

The four founding papers as methods of a study, and what a preset does not have from its paper.
"""


def expected(minutes: float | None) -> str:
    """Minutes, hours or days; '?' where a study says nothing."""
    if minutes is None:
        return "?"
    if minutes < 1:
        return "under 1 min"
    if minutes < 120:
        return f"{minutes:g} min"
    return f"{minutes / 60:.0f} h" if minutes < 72 * 60 else f"{minutes / 1440:.0f} days"


def page() -> str:
    """The page: one table, then a paragraph for each study, then the presets (loads torch)."""
    from direct import PRESETS

    studies = [load_study(name) for name in builtin_studies()]
    lines = [
        HEAD,
        "| study | what it shows | data | seeds | 2 cores | H100 |",
        "|---|---|---|---:|---:|---:|",
    ]
    lines += [_row(study) for study in studies]
    for study in studies:
        numbers = f" Published numbers beside ours: {len(study.paper)}." if study.paper else ""
        source = f" Source: {study.source}." if study.source else ""
        lines += [
            "",
            f"## {study.name}",
            "",
            " ".join(study.description.split()) + source + numbers,
            *_differences(study),
        ]
    lines += [PRESETS_HEAD]
    for name in PRESETS.names():
        preset = PRESETS.get(name)
        lines += [
            f"- `{name}`: {preset.summary} ({preset.source}). `{preset.architecture}`, rule "
            f"`{preset.rule}`, T = {preset.timesteps}, readout `{preset.readout}`. Chosen here: "
            f"{preset.chosen_here}."
        ]
    return "\n".join(lines) + "\n"


def _differences(study: Study) -> list[str]:
    """A paragraph on what the set-up has otherwise than the source, where there is something.

    What a study has from its base is said there.
    """
    used = {study.base_method(method) for method in study.every("methods")}
    presets = [name for name in catalogue.entries("presets") if name in used]
    text = resources.files(STUDIES).joinpath(f"{study.name}.toml").read_text("utf-8")
    base = tomllib.loads(text).get("base")
    shared = load_study(base).differences if base else ()
    said = [f"what is said of [{base}](#{base})"] if shared else []
    said += study.differences[len(shared) :]
    if presets:
        said.append(f"what stands under [presets](#presets) of {' and '.join(presets)}")
    return ["", f"Unlike the source: {'; '.join(said)}."] if said else []


def _row(study: Study) -> str:
    cells = (
        f"[`{study.name}`](#{study.name.replace('.', '')})",
        study.title,
        ", ".join(study.every("datasets")),
        str(len(study.seeds)),
        expected(study.expected_minutes),
        expected(study.expected_minutes_h100),
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
