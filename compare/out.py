"""Where the results of a command go: a directory that is named, and can be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer


def named(text: str) -> Path:
    """A path of the command line; none where it is empty, as an unset variable of a shell is."""
    if not text:
        raise typer.BadParameter('a path is needed ("." for this directory), got an empty one')
    return Path(text)


def check_directory(out: Path | None) -> None:
    """Raise unless results can go there: to a new directory, or one that exists."""
    if out is not None and out.exists() and not out.is_dir():
        raise ValueError(f"--out must be a directory, got the file {out}")


@contextmanager
def results_in(out: Path | None) -> Iterator[None]:
    """What the system says where nothing can be written to --out, in one line."""
    try:
        yield
    except OSError as error:
        if out is None or error.strerror is None:
            raise
        where = f" ({error.filename})" if error.filename else ""
        raise ValueError(f"--out {out} cannot be written: {error.strerror}{where}") from error
