"""A directory whose parts change together, or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(home: Path, names: Sequence[str]) -> Iterator[Path]:
    """An empty directory to write into; its entries become those of `home` if the block ends well.

    names: entries of `home` that go when the new ones come. One process at a time does so, and what
    is cut off before leaves the earlier entries as they were.
    """
    home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home, os.O_RDONLY)
    partial = home / ".partial"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        yield partial
        for name in names:
            if (home / name).is_dir():
                shutil.rmtree(home / name)
        for made in partial.iterdir():
            made.replace(home / made.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(descriptor)  # gives the lock back
