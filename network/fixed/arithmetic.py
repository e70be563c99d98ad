"""How whole numbers are computed here: dense operators, events, or either by the layer's spikes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from network.operators import Units, Window, find_units
from network.sums import Kernel, NoKernel, break_even, load_kernel


@dataclass(frozen=True)
class Arithmetic:
    """The same numbers in every case; what differs is the time.

    units: dense operators, None for the fastest exact ones. kernel: sums weights over spikes; None
    where PyTorch does everything. always: by events however many there are. missing: why there is
    no kernel, one line.
    """

    units: Units | None
    device: str
    kernel: Kernel | None
    always: bool = False
    missing: str = ""

    def units_for(self, largest: int) -> Units:
        """For inputs 0 … largest."""
        return self.units or find_units(largest, self.device)

    def event_limit(self, units: Units, planes: int, window: Window | None) -> float:
        """The share of spiking inputs up to which events are faster; negative for never."""
        if self.kernel is None or (window is not None and window.groups != 1):
            return -1.0
        if self.always:
            return math.inf
        return break_even(self.kernel, units, planes, torch.get_num_threads())


def choose_arithmetic(units: Units | None, events: bool | None, device: str) -> Arithmetic:
    """events: None where they are faster, True always, False never.

    Raises NoKernel for True where the kernel does not run.
    """
    if events is False:
        return Arithmetic(units, device, None)
    if device != "cpu":
        if events:
            raise NoKernel(f"events are summed on the CPU, not on {device}")
        return Arithmetic(units, device, None)
    try:
        return Arithmetic(units, device, load_kernel(), always=bool(events))
    except NoKernel as error:
        if events:
            raise
        return Arithmetic(units, device, None, missing=str(error))
