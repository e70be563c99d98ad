"""The page: studies in, one self-contained index.html out, with figures and tables beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from reports import frame
from reports.analysis import Analysis
from reports.answers import Answer, answers
from reports.caveats import caveats, left_out
from reports.curves import curves, family_of
from reports.drawing import Artists, Drawing, reason_of
from reports.figures import FIGURES, Figure, caption, leading
from reports.home import FOLDERS, PAGE, home_of, refuse_others
from reports.page_tables import PageTable, is_name, page_tables, sort_key
from reports.provenance import Fact, commands, compared, provenance
from reports.whole import replaced


class PageError(ValueError):
    """A page that cannot be made of what was given."""


@dataclass(frozen=True)
class PageFigure:
    """A figure drawn into the page; its files lie in `folder` under `key`."""

    key: str
    title: str
    description: str
    panels: int
    svg: Markup
    folder: str


@dataclass(frozen=True)
class PageStudy:
    """Everything the page says about one study."""

    key: str
    title: str
    description: str
    source: str
    differences: tuple[str, ...]
    answers: tuple[Answer, ...]
    compared: tuple[Fact, ...]
    tables: tuple[PageTable, ...]
    figures: tuple[PageFigure, ...]
    left_out: str
    caveats: tuple[str, ...]
    resampled: str
    commands: tuple[str, ...]
    provenance: tuple[Fact, ...]


def build(studies: Sequence[Path | str | Analysis], out: Path | str | None = None) -> Path:
    """Write report/index.html with report/figures and report/tables, and return its path.

    studies: their directories, or what is already computed from them.
    out: the report's directory; by default DIR/report for one study, and `report` beside the
    first study for several. Figures and tables of an earlier report in it are replaced.
    Raises PageError without a study, StudyError where a directory is not one, ForeignEntries where
    figures, tables or a page that are no report's stand in its place.
    """
    if not studies:
        raise PageError("a report needs at least one study directory, got none")
    analyses = [
        study if isinstance(study, Analysis) else Analysis(frame.load(study)) for study in studies
    ]
    home = home_of([analysis.study.directory for analysis in analyses], out)
    refuse_others(home)
    with replaced(home, FOLDERS, PAGE) as partial:
        _build(analyses, partial)
    return home / PAGE


def _build(analyses: list[Analysis], home: Path) -> None:
    """The whole report in an empty directory."""
    studies = [analysis.study for analysis in analyses]
    if len(studies) > 1 and _overlap(studies):
        studies = [frame.combine(studies, "All studies together"), *studies]
        analyses = [Analysis(studies[0]), *analyses]
    keys = _keys(studies)
    prefixes = [""] if len(studies) == 1 else [f"{key}-" for key in keys]
    with Artists(home / "figures") as artists:
        plans = [_plan(*each, artists) for each in zip(analyses, prefixes, strict=True)]
        artists.finish()
    for plan in plans:
        plan.leave_out(artists.failed)
    made = [
        _study(analysis, key, prefix, plan, home)
        for analysis, key, prefix, plan in zip(analyses, keys, prefixes, plans, strict=True)
    ]
    (home / PAGE).write_text(_html(made), encoding="utf-8")


def _overlap(studies: Sequence[frame.Study]) -> bool:
    """Whether two studies share a network or a family, so that together they show more."""
    names = [
        {f"{curve.dataset} {family_of(curve)}" for curve in curves(study)} for study in studies
    ]
    return any(one & two for one, two in combinations(names, 2))


def _keys(studies: Sequence[frame.Study]) -> list[str]:
    """A name for every study that is safe in a file and an anchor, and no two alike."""
    keys: list[str] = []
    for study in studies:
        plain = re.sub(r"[^a-z0-9]+", "-", study.name.lower()).strip("-") or "study"
        same = sum(key == plain or key.startswith(f"{plain}~") for key in keys)
        keys.append(f"{plain}~{same + 1}" if same else plain)
    return keys


def _study(analysis: Analysis, key: str, prefix: str, plan: Plan, home: Path) -> PageStudy:
    return PageStudy(
        key=key,
        title=analysis.study.title,
        description=analysis.study.description,
        source=analysis.study.source,
        differences=analysis.study.differences,
        answers=answers(analysis),
        compared=compared(analysis),
        tables=page_tables(analysis, key, prefix, home),
        figures=_figures(plan, home / "figures"),
        left_out=left_out(plan.omitted),
        caveats=caveats(analysis, plan.failed),
        resampled=_resampled(analysis),
        commands=commands(analysis),
        provenance=provenance(analysis),
    )


def _resampled(analysis: Analysis) -> str:
    """What the bootstrap draws from: of one seed, images alone."""
    several = any(len(curve.seeds) > 1 for curve in analysis.curves)
    return "seeds and test images" if several else "test images"


@dataclass(frozen=True)
class Plan:
    """The drawings of a study, a description of each, the figures that it has no data for, and why
    others could not be drawn."""

    drawings: list[Drawing] = field(default_factory=list)
    descriptions: list[str] = field(default_factory=list)
    omitted: list[Figure] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def leave_out(self, failed: Mapping[str, str]) -> None:
        """Take out the drawings with these keys, for these reasons."""
        pairs = list(zip(self.drawings, self.descriptions, strict=True))
        self.failed.extend(failed[d.key] for d, _ in pairs if d.key in failed)
        self.drawings[:] = [d for d, _ in pairs if d.key not in failed]
        self.descriptions[:] = [words for d, words in pairs if d.key not in failed]


def _plan(analysis: Analysis, prefix: str, artists: Artists) -> Plan:
    """Prepare every figure, and have it drawn: those against depth first, where it varies."""
    plan = Plan()
    for figure in sorted(FIGURES.values(), key=lambda figure: not figure.name.endswith("-depth")):
        try:
            rows = figure.prepare(analysis)
        except Exception as error:  # one figure leaves the others as they are
            plan.failed.append(reason_of(figure, error))
            continue
        if not len(rows):
            plan.omitted.append(figure)
            continue
        shown, note = leading(figure, rows, analysis)
        drawing = Drawing(f"{prefix}{figure.name}", figure, shown)
        artists.add(drawing)
        plan.drawings.append(drawing)
        plan.descriptions.append(f"{caption(figure, shown)}{note}")
    return plan


def _figures(plan: Plan, folder: Path) -> tuple[PageFigure, ...]:
    """The drawn figures as parts of the page."""
    return tuple(
        PageFigure(
            key=drawing.key,
            title=drawing.figure.title,
            description=description,
            panels=drawing.panels,
            svg=inline((folder / f"{drawing.key}.svg").read_text("utf-8"), drawing.figure.title),
            folder=folder.name,
        )
        for drawing, description in zip(plan.drawings, plan.descriptions, strict=True)
    )


def inline(svg: str, title: str) -> Markup:
    """An SVG file as an element of the page: no prolog, no metadata, as wide as its place."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    head, body = element.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return Markup('{} role="img" aria-label="{}">{}').format(
        Markup(head), title, Markup(body.strip())
    )


def _html(studies: Sequence[PageStudy]) -> str:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    files = resources.files("reports")
    template = environment.from_string((files / "page.html").read_text(encoding="utf-8"))
    context: dict[str, Any] = {
        "title": ", ".join(study.title for study in studies),
        "studies": studies,
        "is_name": is_name,
        "sort_key": sort_key,
        "css": Markup((files / "page.css").read_text(encoding="utf-8")),
        "script": Markup((files / "page.js").read_text(encoding="utf-8")),
    }
    return template.render(context)
