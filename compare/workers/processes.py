"""Several cases at once in processes of this machine: the standard library's pool."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from compare.plan import Plan
from compare.study import StudyError
from compare.warning_lines import in_one_line
from compare.workers.case import Settings, attempt
from compare.workers.ticks import Tick


class Processes:
    """`jobs` processes, each started when it is first needed."""

    def __init__(self, plan: Plan, settings: Settings, jobs: int) -> None:
        self.plan, self.settings, self.slots = plan, replace(settings, download=False), jobs
        context = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(jobs, context, initializer=_start)

    def submit(self, index: int) -> Future[Exception | None]:
        with _interrupts_held_back():
            return self.pool.submit(_run, self.plan, index, self.settings)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
        self.pool.shutdown()
        if isinstance(error, BrokenProcessPool):
            raise StudyError(
                "a process of this study was killed, by the system for want of memory perhaps; "
                "finished cases are kept: run the same command again, with fewer --jobs"
            ) from error


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """No interrupt while a process is started, which would be left with half of what it needs.

    Ctrl-C reaches every process of a terminal; one that is started here inherits the mask, and so
    leaves it to us. The mask is that of one thread: another may take the signal, and Python would
    act on it here. So our own answer waits too, to an interrupt and to the end that is asked for.
    """
    held: list[int] = []
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    answers = _answer_with(lambda number, frame: held.append(number))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, answer in answers.items():
            signal.signal(number, answer)
        for number in held:
            os.kill(os.getpid(), number)


def _answer_with(answer: Callable[[int, Any], object]) -> dict[int, Any]:
    """Take the answers to SIGINT and SIGTERM; those before, empty outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {n: signal.signal(n, answer) for n in (signal.SIGINT, signal.SIGTERM)}


def _start() -> None:
    """A process whose parent was killed ends too, and gives its case's lock back.

    torch.fx makes a bar of tqdm, which makes a semaphore of the system where it is given no lock: a
    process that is killed would leave it behind, with a warning after what isospike says of it.
    """
    warnings.formatwarning = in_one_line
    with suppress(ImportError):
        from tqdm import tqdm

        tqdm.set_lock(threading.RLock())
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run(plan: Plan, index: int, settings: Settings) -> Exception | None:
    return attempt(plan, index, settings, Tick(plan, index))
