"""A compiled C file behind Python, used where it does the same as PyTorch on this machine."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from network.compiled.building import NoCompiler, built

T = TypeVar("T")


def agreeing(
    source: Path, wrap: Callable[[ctypes.CDLL], T], agrees: Callable[[T], bool], *, otherwise: str
) -> T | None:
    """The library of a C file, wrapped; None, with one warning that says `otherwise` and why, where
    it does not run or does not agree. Functions of a library return int unless told otherwise."""
    try:
        found = wrap(ctypes.CDLL(str(built(source))))
        with torch.random.fork_rng(devices=[]):  # it may run amid a training
            agreed = agrees(found)
        if agreed:
            return found
        reason = "what was compiled does not agree with PyTorch"
    except (NoCompiler, OSError, AttributeError) as error:
        reason = str(error)
    warnings.warn(f"{otherwise}: {reason}", stacklevel=3)
    return None
