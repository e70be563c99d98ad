"""What may go wrong in a case without being wrong in its specification."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")

# What torch's allocators say; on the CPU it is a plain RuntimeError.
ALLOCATOR_WORDS = (
    "can't allocate memory", "not enough memory", "out of memory",
    "storage size calculation overflowed",
)  # fmt: skip
# What Python says where its own C code got no memory and did not say so.
FORGOTTEN_WORDS = ("without exception set", "without setting an exception")


class CaseFailed(ValueError):
    """A case that ended in a fault: one line with what, and where the rest stands."""


class OutOfMemory(ValueError):
    """Memory did not suffice: one line with what to set."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on the CPU or on an accelerator."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    if isinstance(error, SystemError):
        return any(words in text for words in FORGOTTEN_WORDS)
    return isinstance(error, RuntimeError) and any(words in text for words in ALLOCATOR_WORDS)


@contextmanager
def memory_for(what: str) -> Iterator[None]:
    """Say in one line for what memory did not suffice: OutOfMemory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(f"out of memory for {what} ({plain(error)[:120]})") from error


def plain(error: BaseException) -> str:
    """An error's text on one line of at most 400 letters; its type where it has none."""
    return " ".join(str(error).split())[:400] or type(error).__name__


def in_batches(
    start: int,
    stop: int,
    batch_size: int,
    work: Callable[[torch.Tensor], None],
    undo: Callable[[], None],
    halved: Callable[[int], None],
) -> None:
    """Call work(indices) for the images start … stop−1, `batch_size` at a time.

    Where memory does not suffice: undo() what work had begun, halved(new size), and go on with half
    as many. Once only; then, or where there is one image already, it raises OutOfMemory.
    """
    size = batch_size
    while start < stop:
        indices = torch.arange(start, min(start + size, stop))
        fault = _memory_fault(work, indices)
        if fault is None:
            start += len(indices)
            continue
        undo()
        release_memory()
        if size < batch_size or size == 1:
            raise OutOfMemory(
                f"out of memory with {size} images at once ({fault}): "
                f"set batch_size below {size}, or use a smaller network"
                if size > 1
                else f"out of memory with one image ({fault})"
            )
        size = max(1, size // 2)
        halved(size)


def _memory_fault(work: Callable[[torch.Tensor], None], indices: torch.Tensor) -> str | None:
    """What the allocator said, or None. The error itself is let go: it holds the tensors."""
    try:
        work(indices)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return plain(error)[:120]
    return None


def halved_once(attempt: Callable[[int], T], batch_size: int, halved: Callable[[int], None]) -> T:
    """attempt(batch_size); where memory does not suffice, halved(new size) and attempt with it.

    For what does not depend on the batch size. Raises what the second attempt raises.
    """
    try:
        return attempt(batch_size)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error) or batch_size == 1:
            raise
    release_memory()
    halved(batch_size // 2)
    return attempt(batch_size // 2)


def release_memory() -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
