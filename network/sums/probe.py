"""From which share of spiking inputs on dense operators are faster than events on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import torch

from network.operators import Units, Window
from network.sums.kernel import Kernel, Layer, Reading, Rows, pack_rows

CHANNELS, SIZE, STEPS = 64, 16, 4
SHARES = (0.02, 0.2)
WINDOW = Window((1, 1), (1, 1), (1, 1), 1)


@cache
def break_even(kernel: Kernel, units: Units, planes: int, threads: int) -> float:
    """The share of inputs, 0 … 1, at which a layer takes the same time both ways.

    planes: dense operators per layer, one for each byte of a weight. A layer of 64 channels is
    timed, once per process: its time by events is a line through two shares, the dense one
    does not depend on the share.
    """
    trial = _Trial(kernel, units, planes, threads)
    few, many = (trial.events(share) for share in SHARES)
    dense = trial.dense()
    slope = max(many - few, 1e-9) / (SHARES[1] - SHARES[0])
    return min(max(SHARES[0] + (dense - few) / slope, 0.0), 1.0)


class _Trial:
    """One layer on 4 images for each thread, seconds per chunk, best of three."""

    def __init__(self, kernel: Kernel, units: Units, planes: int, threads: int) -> None:
        self.kernel, self.threads = kernel, threads
        self.generator = torch.Generator().manual_seed(0)
        shape = (CHANNELS, CHANNELS, 3, 3)
        weight = torch.randint(-127, 128, shape, generator=self.generator)
        scaled = weight.double()
        self.operators = [units.pack(scaled, None, WINDOW) for _ in range(planes)]
        self.rows: Rows = pack_rows(weight * 256 ** (planes - 1), WINDOW)

    def events(self, share: float) -> float:
        x = self._spikes(share)
        layer = self._layer(len(x))
        layer.readings = [Reading(x, self.rows, 1)]
        return self._seconds(lambda: self.kernel.run(layer, self.threads))

    def dense(self) -> float:
        x = self._spikes(SHARES[0])
        layer = self._layer(len(x))

        def call() -> None:
            layer.results = [(operator(x), 1) for operator in self.operators]
            self.kernel.run(layer, self.threads)

        return self._seconds(call)

    def _spikes(self, share: float) -> torch.Tensor:
        size = (STEPS * 4 * self.threads, CHANNELS, SIZE, SIZE)
        x = (torch.rand(size, generator=self.generator) < share).to(torch.uint8)
        return x.contiguous(memory_format=torch.channels_last)

    def _layer(self, count: int) -> Layer:
        size = (CHANNELS, SIZE, SIZE)
        images = count // STEPS
        laid_out = torch.channels_last
        v = torch.zeros(images, *size, dtype=torch.int32).contiguous(memory_format=laid_out)
        spikes = torch.zeros(count, *size, dtype=torch.uint8).contiguous(memory_format=laid_out)
        return Layer(
            v=v,
            theta=torch.full((CHANNELS,), 2**15, dtype=torch.int32),
            bias=torch.zeros(CHANNELS, dtype=torch.int32),
            constant=None,
            spikes=spikes,
            counts=torch.zeros(STEPS, images, SIZE * SIZE, dtype=torch.int32),
            hard=True,
        )

    def _seconds(self, call: Callable[[], None]) -> float:
        call()
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            call()
            best = min(best, time.perf_counter() - start)
        return best
