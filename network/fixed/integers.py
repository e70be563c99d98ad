"""Weights, thresholds and potentials as whole numbers (METHODS.md section 9).

One scale per channel of a layer of neurons, over all weights w' that arrive there, each times the
height of its incoming spikes and divided by what its pooling divides by::

    σ_c = max|w'_c| / Q,  Q = 32512 (16 bits) or 127 (8 bits);   q = round(w'/σ_c)

With 16 bits q = 256·hi + lo, hi in [−127, 127] and lo in [−128, 127], for 8-bit operators.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from network.operators import EXACT, Operator, Units, Window

LARGEST_WEIGHT = {8: 127, 16: 32512}
STATIC_STEPS = 32768  # θ in whole numbers where no weights set a scale
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

    chained: each operator adds onto the result of the one before it, all factors being inside.
    low, high: bounds of the sum in one step, whole numbers.
    """

    terms: tuple[Term, ...]
    chained: bool
    low: float
    high: float


def scale_of(weights: list[Weights], theta: Tensor, bits: int) -> Tensor:
    """σ [C] in float64; theta [C] in float64 is the threshold (1 where there is none)."""
    if not weights:
        return theta / STATIC_STEPS
    largest = torch.stack([w.weight.abs().flatten(1).amax(1) for w in weights]).amax(0)
    sigma = torch.where(largest > 0, largest / LARGEST_WEIGHT[bits], theta / STATIC_STEPS)
    return torch.maximum(sigma, theta / FINEST)


def sum_of(weights: list[Weights], constant: Tensor, sigma: Tensor, units: Units) -> Sum | None:
    """The weights as operators; None where a sum could pass what is exact.

    constant: float64 [C], added at every step: biases, and shifts of the neurons.
    """
    whole = [(w, (w.weight / w.per_output(sigma)).round()) for w in weights]
    added = (constant / sigma).round()
    high, low = added.clamp(min=0), added.clamp(max=0)
    for w, q in whole:
        high = high + q.clamp(min=0).flatten(1).sum(1) * w.largest
        low = low + q.clamp(max=0).flatten(1).sum(1) * w.largest
    bounds = float(low.min()), float(high.max())
    eight_bits = units.weight_limit == 127
    parts = [(w, *part) for w, q in whole for part in (_split(q) if eight_bits else [(q, 1)])]
    offset = float(added.abs().max())
    if eight_bits and any(_reach(w, part) + offset >= EXACT for w, part, _ in parts):
        return None
    chained = not eight_bits or max(-bounds[0], bounds[1]) < EXACT
    terms: list[Term] = []
    for w, part, factor in parts:
        bias = None if terms else added
        operator = units.pack(part, bias, w.window, factor if chained else 1)
        terms.append(Term(w.source, operator, 1 if chained else factor))
    return Sum(tuple(terms), chained, *bounds)


def _split(q: Tensor) -> list[tuple[Tensor, int]]:
    """q as [(lo, 1), (hi, 256)], or as it is where 8 bits hold it."""
    if q.abs().max() <= 127:
        return [(q, 1)]
    high = ((q + 128) / 256).floor()
    return [(q - 256 * high, 1), (high, 256)]


def _reach(w: Weights, part: Tensor) -> float:
    return float(part.abs().flatten(1).sum(1).max()) * w.largest
