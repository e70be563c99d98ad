"""Files and directories that appear under their names whole, or not at all. Loads no torch."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def owner() -> str:
    """A name of this process alone, also where several machines share a directory."""
    return f"{socket.gethostname()}-{os.getpid()}"


def partial_of(path: Path) -> Path:
    """Where this process, and no other, writes what is to be `path`: hidden, beside it."""
    return path.with_name(f".{path.name}.{owner()}.partial")


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A file to write in place of `path`, which changes only if the block ends well, as a whole.

    durable: wait until it is on the disk.
    """
    partial = partial_of(path)
    try:
        yield partial
        if durable:
            sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if durable:
        sync(path.parent)


def sync(path: Path) -> None:
    """Make the kernel write a file or directory to disk now."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
