"""From the outputs of every step to class scores at every step.

Each readout takes outputs [T, B, K] of one run and returns scores [T, B, K]: the scores at step t
use the steps up to t only, so that one run to the largest T holds the answer for every smaller T.
The second argument is what a leaking potential is multiplied by in one step; only `membrane` has
such a potential.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from network.registry import Registry

Readout = Callable[[Tensor, float], Tensor]

READOUTS: Registry[Readout] = Registry("readout")

MEMBRANE_DECAY = math.exp(-1.0 / 100.0)  # Lee 2020: τ = 100 steps


@READOUTS.register("mean-current")
def mean_current(outputs: Tensor, decay: float) -> Tensor:
    """Sum of the last layer's current up to t, divided by t (Ledinauskas 2020, Zheng 2021)."""
    del decay
    return outputs.cumsum(0) / _elapsed(outputs)


@READOUTS.register("membrane")
def membrane(outputs: Tensor, decay: float) -> Tensor:
    """Potential of a last layer that leaks and never spikes: v(t)/t (Lee 2020, eq. 6)."""
    v = torch.zeros_like(outputs[0])
    potentials = []
    for current in outputs:
        v = decay * v + current
        potentials.append(v)
    return torch.stack(potentials) / _elapsed(outputs)


@READOUTS.register("spike-count")
def spike_count(outputs: Tensor, decay: float) -> Tensor:
    """Output spikes up to t, divided by the largest count of the image (Lee 2016)."""
    del decay
    counts = outputs.cumsum(0)
    return counts / counts.amax(dim=-1, keepdim=True).clamp(min=1.0)


def _elapsed(outputs: Tensor) -> Tensor:
    steps = torch.arange(1, outputs.shape[0] + 1, device=outputs.device, dtype=outputs.dtype)
    return steps.view(-1, *([1] * (outputs.ndim - 1)))
