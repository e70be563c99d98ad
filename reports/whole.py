"""A directory whose parts change together, or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(home: Path, folders: Sequence[str], page: str) -> Iterator[Path]:
    """An empty directory to write into; its entries become those of `home` if the block ends well.

    folders, page: the entries of `home` that go when the new ones come; the block writes `page`,
    and of the folders what it has. One process at a time does so. What is cut off before the block
    ends leaves the earlier entries as they were; what is cut off in the renames after it leaves
    them half done, and the next call here ends them before anything else.
    """
    home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home, os.O_RDONLY)
    partial, earlier = home / ".partial", home / ".earlier"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if earlier.exists():
            _move_in(home, folders, page)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
            for name in folders:
                (partial / name).mkdir(exist_ok=True)
            earlier.mkdir()  # from here on it says that the new entries are whole
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        _move_in(home, folders, page)
    finally:
        os.close(descriptor)  # gives the lock back


def _move_in(home: Path, folders: Sequence[str], page: str) -> None:
    """Move the new entries to their places, the page last; begun before, it goes on."""
    partial, earlier = home / ".partial", home / ".earlier"
    for name in (*folders, page):
        if not (partial / name).exists():
            continue
        if (home / name).is_dir():  # a file is replaced by the rename itself
            shutil.rmtree(earlier / name, ignore_errors=True)
            (home / name).replace(earlier / name)
        (partial / name).replace(home / name)
    for name in folders:
        if (home / name).is_dir() and not any((home / name).iterdir()):
            (home / name).rmdir()
    shutil.rmtree(earlier)
    shutil.rmtree(partial)
