"""One line also where a process is ended before it can say one. Loads no torch."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from compare.ranks import world_size

# Reads until a line comes, or nothing more can come: then whoever would have written it is gone.
WATCHING = 'read -r done || printf "%s\\n" "$0" >&2'


@contextmanager
def last_word(text: str) -> Iterator[None]:
    """Say `text` on the error stream where this process ends inside the block without leaving it.

    That is a kill from outside, as by a system that wants its memory back, and an abort within a
    library, as where memory fails the C++ runtime. A shell in a session of its own waits for it;
    where none can be started, nothing is said. Of torchrun's processes torchrun says it.
    """
    watcher = _start("isospike: " + " ".join(text.split())) if world_size() == 1 else None
    try:
        yield
    finally:
        if watcher is not None:
            with suppress(OSError):  # it was killed itself
                watcher.communicate(b"\n")


def _start(text: str) -> subprocess.Popen[bytes] | None:
    shell = shutil.which("sh")
    if shell is None:
        return None
    with suppress(OSError):
        return subprocess.Popen(
            [shell, "-c", WATCHING, text],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C and a kill of the group are for us
        )
    return None
