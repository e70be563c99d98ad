"""Images or neurons divided among threads that run compiled code."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache


def over_parts(run: Callable[[int, int], int], count: int, threads: int) -> None:
    """run(first, last) on as many parts of 0 … count−1 as there are threads.

    It returns 0, or another number where there is no room: raises MemoryError.
    """
    parts = max(1, min(threads, count))
    firsts = [count * i // parts for i in range(parts)]
    spans = firsts, [*firsts[1:], count]
    done = map(run, *spans) if parts == 1 else _pool(parts).map(run, *spans)
    if any(list(done)):
        raise MemoryError("no room for what compiled code works on; take smaller batches")


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has none of the threads
