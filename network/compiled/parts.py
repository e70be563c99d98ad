"""Images or neurons divided among threads that run compiled code."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from torch import Tensor


def over_parts(
    function: Callable[..., int],
    structure: ctypes.Structure,
    *tensors: Tensor,
    count: int,
    threads: int,
) -> None:
    """function(structure, *tensors, first, last) of a C library, all as pointers but the last two,
    on as many parts of 0 … count−1 as there are threads, this one among them.

    It returns 0, or another number where there is no room: raises MemoryError.
    """
    given = ctypes.byref(structure), *(ctypes.c_void_p(x.data_ptr()) for x in tensors)

    def run(first: int, last: int) -> int:
        return function(*given, ctypes.c_int64(first), ctypes.c_int64(last))

    parts = max(1, min(threads, count))
    bounds = [count * i // parts for i in range(parts + 1)]
    others = []
    if parts > 1:
        pool = _pool(parts - 1)
        others = [pool.submit(run, *bounds[i : i + 2]) for i in range(1, parts)]
    try:
        failed = run(*bounds[:2])
    finally:
        failed_elsewhere = [other.result() for other in others]
    if failed or any(failed_elsewhere):
        raise MemoryError("no room for what compiled code works on; take smaller batches")


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has none of the threads
