"""Which process of torchrun's this is, from the environment that it sets. Loads no torch."""

from __future__ import annotations

import contextlib
import os
import sys
import time

FIRST_SPEAKS_WITHIN_S = 20.0  # it may load longer than the others


def world_size() -> int:
    """Processes that torchrun has started in all; 1 without it."""
    return _number("WORLD_SIZE", 1)


def rank() -> int:
    """0 for the process that runs the study; the others help it to train."""
    return _number("RANK", 0)


def is_follower() -> bool:
    return world_size() > 1 and rank() > 0


def processes_here() -> int:
    """How many of them share this machine's cores."""
    return _number("LOCAL_WORLD_SIZE", 1)


def place_here() -> int:
    """Which of them this is: the number of its accelerator."""
    return _number("LOCAL_RANK", 0)


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdigit() else default


def let_the_first_speak() -> None:
    """torchrun ends all processes once one has failed: not before the first has said why."""
    with contextlib.suppress(KeyboardInterrupt):
        time.sleep(FIRST_SPEAKS_WITHIN_S)


def end_at_once(code: int) -> None:
    """End without taking the interpreter and torch.distributed down, which may abort in their
    threads: a process that is done would count as failed, and torchrun would end the first one."""
    sys.stderr.flush()
    os._exit(code)
