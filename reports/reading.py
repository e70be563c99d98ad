"""Files of a study as they are read: whatever is wrong with one, its path is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StudyError(ValueError):
    """A directory or file that does not hold what a study holds."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """StudyError with the path for a file that its reader cannot make sense of.

    A broken file may bring out almost any error of the libraries that read it.
    """
    try:
        yield
    except (StudyError, OSError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise StudyError(f"{path} cannot be read: {reason}") from error
