"""Where a report goes, and what of it was there before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reports.figures import FIGURES
from reports.tables import NAMES as TABLES
from reports.whole import refuse_foreign

FOLDERS, PAGE, TITLE_ENDS = ("figures", "tables"), "index.html", " – isospike</title>"
ENDINGS = {"figures": (".svg", ".png", ".pdf"), "tables": (".csv", ".md", ".tex")}


def home_of(studies: Sequence[Path], out: Path | str | None = None) -> Path:
    """The directory of the report of these study directories; out: the one asked for."""
    if out is not None:
        return Path(out)
    first = studies[0]
    if len(studies) == 1:
        return first / "report"
    if first.name in ("", ".."):  # `.`, whose parent in letters is `.` again
        first = first.resolve()
    return first.parent / "report"


def refuse_others(home: Path) -> None:
    """ForeignEntries where a report in `home` would replace what no report has written."""
    refuse_foreign(home, FOLDERS, PAGE, TITLE_ENDS, is_of_a_report)


def is_of_a_report(file: Path) -> bool:
    """Whether a report writes files of this name into this folder, `figures` or `tables`.

    In a report over several studies the name of the study stands in front.
    """
    names = (*FIGURES, *TABLES)
    named = any(file.stem == name or file.stem.endswith(f"-{name}") for name in names)
    return named and file.suffix in ENDINGS[file.parent.name]
