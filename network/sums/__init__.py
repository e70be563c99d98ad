"""Weights summed over spikes, by a small C kernel that this machine's own compiler builds."""

from network.sums.kernel import (
    Kernel,
    Layer,
    NoKernel,
    Pooling,
    Reading,
    Rows,
    digits_of,
    load_kernel,
    pack_rows,
)
from network.sums.probe import break_even

__all__ = [
    "Kernel",
    "Layer",
    "NoKernel",
    "Pooling",
    "Reading",
    "Rows",
    "break_even",
    "digits_of",
    "load_kernel",
    "pack_rows",
]
