"""Weights, thresholds and potentials as whole numbers (METHODS.md section 9).

One scale per channel of a layer of neurons, over all weights w' that arrive there, each times the
height of its incoming spikes and divided by what its pooling divides by::

    σ_c = max|w'_c| / Q,  Q = 32512 (16 bits) or 127 (8 bits);   q = round(w'/σ_c)

With 16 bits q = 256·hi + lo, hi in [−127, 127] and lo in [−128, 127], for 8-bit operators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from network.operators import Operator, Units, Window

LARGEST_WEIGHT = {8: 127, 16: 32512}
STATIC_STEPS = 2**21  # θ in whole numbers where no weights set a scale
LIMIT = 2**30  # no potential may pass it
FINEST = 2**22  # θ in whole numbers at most, so that a channel of tiny weights does not overflow


@dataclass(frozen=True)
class Weights:
    """What one synaptic layer adds to a current.

    source: name of the value it reads. largest: the largest whole number that arrives.
    weight: w' in float64, [O, I, kh, kw] or [O, F]. bias: float64 [O].
    """

    source: str
    largest: int
    weight: Tensor
    bias: Tensor
    window: Window | None

    def per_output(self, value: Tensor) -> Tensor:
        """[O] shaped to broadcast over the weight."""
        return value.view(-1, *([1] * (self.weight.ndim - 1)))


@dataclass(frozen=True)
class Term:
    """One operator of a sum: reads `source`; its result counts `factor` times."""

    source: str
    operator: Operator
    factor: int


@dataclass(frozen=True)
class Sum:
    """Weights of one current as operators.

    bound: the largest magnitude of their sum in one step. notes: which arithmetic runs.
    """

    terms: tuple[Term, ...]
    bound: float
    notes: tuple[str, ...]


def scale_of(weights: list[Weights], theta: Tensor, bits: int) -> Tensor:
    """σ [C] in float64; theta [C] in float64 is the threshold (1 where there is none)."""
    if not weights:
        return theta / STATIC_STEPS
    largest = torch.stack([w.weight.abs().flatten(1).amax(1) for w in weights]).amax(0)
    sigma = torch.where(largest > 0, largest / LARGEST_WEIGHT[bits], theta / STATIC_STEPS)
    return torch.maximum(sigma, theta / FINEST)


def sum_of(
    weights: list[Weights], constant: Tensor, sigma: Tensor, units_for: Callable[[int], Units]
) -> Sum | None:
    """The weights as operators; None where one of them could pass what is exact.

    constant: float64 [C], added at every step: biases, and shifts of the neurons.
    units_for: the arithmetic for inputs up to a whole number.
    """
    added = (constant / sigma).round()
    high, low = added.clamp(min=0), added.clamp(max=0)
    terms: list[Term] = []
    for w in weights:
        q = (w.weight / w.per_output(sigma)).round()
        high = high + q.clamp(min=0).flatten(1).sum(1) * w.largest
        low = low + q.clamp(max=0).flatten(1).sum(1) * w.largest
        units = units_for(w.largest)
        for part, factor in _split(q, units.weight_limit):
            bias = None if terms else added
            reach = part.abs().flatten(1).sum(1) * w.largest + (0 if bias is None else bias.abs())
            if reach.max() >= units.sum_limit:
                return None
            terms.append(Term(w.source, units.pack(part, bias, w.window), factor))
    notes = tuple(units_for(w.largest).note for w in weights)
    return Sum(tuple(terms), float(torch.maximum(high, -low).max()), notes)


def _split(q: Tensor, limit: int) -> list[tuple[Tensor, int]]:
    """q as it is where an operator holds it, else as [(lo, 1), (hi, 256)]."""
    if q.abs().max() <= limit:
        return [(q, 1)]
    high = ((q + 128) / 256).floor()
    return [(q - 256 * high, 1), (high, 256)]
