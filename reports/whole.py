"""A directory whose parts change together, or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HEAD = 65_536  # characters of a page, its title among them
PARTIAL, EARLIER = ".partial", ".earlier"  # what comes, and what goes


class ForeignEntries(ValueError):
    """A directory holds what we have not written and would replace."""


def refuse_foreign(
    home: Path, folders: Sequence[str], page: str, mark: str, known: Callable[[Path], bool]
) -> None:
    """ForeignEntries where what we have not written would be replaced in `home`.

    mark: what stands in the head of a page of ours, beside which all entries are ours; beside none,
    folders are ours where every file in them is known(file).
    """
    if home.exists() and not home.is_dir():
        raise ForeignEntries(f"{home} must be a directory for a report, and is a file: move it")
    taken = [name for name in (*folders, page) if os.path.lexists(home / name)]
    # in this order: what moves entries in at this moment ends with the page in place
    moving = (home / EARLIER).is_dir() and mark in _head(home / PARTIAL / page)
    if not taken or moving or mark in _head(home / page):
        return
    if page not in taken:
        taken = [name for name in taken if not _all_known(home / name, known)]
    if taken:
        raise ForeignEntries(
            f"{home} holds {', '.join(taken)} of another origin, which would be replaced: move "
            "them, or give another directory with --out"
        )


def _all_known(folder: Path, known: Callable[[Path], bool]) -> bool:
    return folder.is_dir() and all(file.is_file() and known(file) for file in folder.iterdir())


def _head(page: Path) -> str:
    """The first characters of a page; none where there is no such file."""
    if not page.is_file():
        return ""
    with page.open(encoding="utf-8", errors="replace") as stream:
        return stream.read(HEAD)


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
    partial, earlier = home / PARTIAL, home / EARLIER
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
    partial, earlier = home / PARTIAL, home / EARLIER
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
