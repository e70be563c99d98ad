"""A directory that is replaced whole: by renames beside it, or file by file inside it."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from compare.store import STALE_S
from network.files import owner, partial_of, sync

NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV}


def is_partial(name: str) -> bool:
    """Whether a file in the directory is what is being written, or what a kill left of it."""
    return name.startswith(".") and name.endswith(".partial")


def check_replaceable(directory: Path) -> None:
    """OSError where replacing_directory could not even begin."""
    partial = _begun(directory.resolve())
    probe = partial / "probe"
    probe.touch()
    probe.unlink()
    partial.rmdir()


@contextlib.contextmanager
def replacing_directory(directory: Path) -> Iterator[Path]:
    """A directory to write in place of `directory`, which changes only if the block ends well.

    A kill between its two last renames leaves the earlier one beside it, hidden, and none in place.
    What killed processes left beside it is removed when it is old.
    Where there is no renaming it (what is above it cannot be written, a volume is mounted there,
    this process is in it), its files are replaced one by one, and a kill may leave some of each.
    """
    directory = directory.resolve()
    _remove_old(directory)
    partial = _begun(directory)
    try:
        yield partial
        for file in (*partial.iterdir(), partial):
            sync(file)
        if partial.parent == directory:
            _move_in(partial, directory)
        else:
            _rename(partial, directory)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _begun(directory: Path) -> Path:
    """The empty directory to write into: beside, or inside where only that is possible."""
    if not (os.path.ismount(directory) or Path.cwd().is_relative_to(directory)):
        beside = partial_of(directory)
        shutil.rmtree(beside, ignore_errors=True)
        try:
            beside.mkdir(parents=True)
        except OSError as error:
            if error.errno not in NOT_ALLOWED or not directory.is_dir():
                raise
        else:
            return beside
    return _begun_inside(directory)


def _begun_inside(directory: Path) -> Path:
    inside = directory / f".{owner()}.partial"
    shutil.rmtree(inside, ignore_errors=True)
    inside.mkdir()
    return inside


def _rename(partial: Path, directory: Path) -> None:
    """Put `partial` in place of `directory`, which stays where that fails."""
    earlier = partial.with_suffix(".earlier")
    try:
        if directory.exists():
            directory.rename(earlier)
    except OSError as error:
        if error.errno not in NOT_ALLOWED:
            raise
        inside = _begun_inside(directory)
        try:
            shutil.copytree(partial, inside, dirs_exist_ok=True)
            for file in inside.iterdir():
                sync(file)
            _move_in(inside, directory)
        finally:
            shutil.rmtree(inside, ignore_errors=True)
        shutil.rmtree(partial)
        return
    try:
        partial.rename(directory)
    except BaseException:
        if earlier.exists() and not directory.exists():
            earlier.rename(directory)
        raise
    sync(directory.parent)
    shutil.rmtree(earlier, ignore_errors=True)


def _move_in(partial: Path, directory: Path) -> None:
    """Replace the files of `directory` by those of `partial`, which is in it."""
    new = {file.name for file in partial.iterdir()}
    for name in sorted(new):
        (partial / name).replace(directory / name)
    partial.rmdir()
    for file in directory.iterdir():
        if file.name in new or is_partial(file.name):  # another process may be at it as well
            continue
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        else:
            file.unlink()
    sync(directory)


def _remove_old(directory: Path) -> None:
    """What killed processes left of earlier replacements."""
    beside = f".{glob.escape(directory.name)}.*"
    left = [
        *directory.parent.glob(f"{beside}.partial"),
        *directory.parent.glob(f"{beside}.earlier"),
        *directory.glob(".*.partial"),
    ]
    for folder in left:
        with contextlib.suppress(FileNotFoundError):
            if time.time() - folder.stat().st_ctime > STALE_S:
                shutil.rmtree(folder, ignore_errors=True)
