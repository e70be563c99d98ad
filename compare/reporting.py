"""The report of finished studies: its page, and on the terminal the answers and summaries."""

from __future__ import annotations

import warnings
from pathlib import Path

import typer


def report_on(directories: list[Path], out: Path | None) -> None:
    """Build the report, print answers, summary tables and the path."""
    import reports
    from compare.terminal import show, tell
    from reports import page
    from reports.analysis import analyse
    from reports.answers import answers
    from reports.tables import summary
    from reports.written import changed, in_words

    analyses = [analyse(reports.study(directory)) for directory in directories]
    path = page.build(analyses, out)
    for directory, analysis in zip(directories, analyses, strict=True):
        if len(analyses) > 1:
            typer.echo(f"\n{analysis.study.title}")
        tell(answers(analysis))
        show(summary(analysis))
        if altered := in_words(changed(analysis.study)):
            warnings.warn(f"{directory}: {altered}", stacklevel=2)
    typer.echo(str(path))
