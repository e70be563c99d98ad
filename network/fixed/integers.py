"""Weights, thresholds and potentials as whole numbers.

One scale per channel of a layer of neurons, over all weights w' that arrive there, each times the
height of its incoming spikes and divided by what its pooling divides by::

    σ_c = max|w'_c| / Q,  Q = 32512 (16 bits) or 127 (8 bits);   q = round(w'/σ_c)

With 16 bits q = 256·hi + lo, hi in [−127, 127] and lo in [−128, 127], for 8-bit operators.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from network.fixed.arithmetic import Arithmetic
from network.operators import Operator, Units, Window, float64_units, in_bytes
from network.sums import Rows, pack_rows

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
    """One dense operator of a sum; its result counts `factor` times.

    whole: int16, of the weight's shape. bias: float64 [O], in the first term of a sum only.
    """

    whole: Tensor
    bias: Tensor | None
    window: Window | None
    units: Units
    factor: int

    @cached_property
    def operator(self) -> Operator:
        """Packed when it is first used: where spikes are few, it never is."""
        return self.units.pack(self.whole.double(), self.bias, self.window)


@dataclass(frozen=True)
class Drive:
    """What the spikes of one source add to a current: by dense operators, or event by event.

    whole: q, int16, of the weight's shape. limit: the share of inputs that spike in a step up to
    which events are faster; negative where there are none.
    """

    source: str
    largest: int
    whole: Tensor
    window: Window | None
    terms: tuple[Term, ...]
    limit: float

    @cached_property
    def rows(self) -> Rows:
        """Packed when it is first used."""
        return pack_rows(self.whole, self.window)


@dataclass(frozen=True)
class Sum:
    """Weights of one current.

    added: int32 [C], at every step; the first drive's terms hold it too. bound: the largest
    magnitude of the sum in one step. notes: which dense arithmetic runs.
    """

    drives: tuple[Drive, ...]
    added: Tensor
    bound: float
    notes: tuple[str, ...]


def scale_of(weights: list[Weights], theta: Tensor, bits: int) -> Tensor:
    """σ [C] in float64; theta [C] in float64 is the threshold (1 where there is none)."""
    if not weights:
        return theta / STATIC_STEPS
    largest = torch.stack([w.weight.abs().flatten(1).amax(1) for w in weights]).amax(0)
    # by a tensor: accelerators multiply by the reciprocal of a number, with another rounding
    finest = largest / torch.full_like(largest, LARGEST_WEIGHT[bits])
    sigma = torch.where(largest > 0, finest, theta / STATIC_STEPS)
    return torch.maximum(sigma, theta / FINEST)


def sum_of(weights: list[Weights], constant: Tensor, sigma: Tensor, arithmetic: Arithmetic) -> Sum:
    """The weights in whole numbers.

    constant: float64 [C], added at every step: biases, and shifts of the neurons.
    """
    added = (constant / sigma).round()
    high, low = added.clamp(min=0), added.clamp(max=0)
    drives: list[Drive] = []
    notes: list[str] = []
    for w in weights:
        q = (w.weight / w.per_output(sigma)).round()
        high = high + q.clamp(min=0).flatten(1).sum(1) * w.largest
        low = low + q.clamp(max=0).flatten(1).sum(1) * w.largest
        units = arithmetic.units_for(w.largest)
        bias = None if drives else added
        if _reach(q, bias, w.largest, units) >= units.sum_limit:
            units = float64_units("sums pass what the 8-bit operators hold")
        parts = zip((bias, None), _split(q, units.weight_limit), strict=False)
        terms = tuple(
            Term(part.to(torch.int16), own, w.window, units, factor)
            for own, (part, factor) in parts
        )
        limit = arithmetic.event_limit(units, len(terms), w.window)
        drives.append(Drive(w.source, w.largest, q.to(torch.int16), w.window, terms, limit))
        notes.append(units.note)
    bound = float(torch.maximum(high, -low).max())
    return Sum(tuple(drives), added.to(torch.int32), bound, tuple(notes))


def _reach(q: Tensor, bias: Tensor | None, largest: int, units: Units) -> float:
    """The largest magnitude on the way to one output of any term."""
    extra = 0 if bias is None else bias.abs()
    parts = (part for part, _ in _split(q, units.weight_limit))
    return max(float((p.abs().flatten(1).sum(1) * largest + extra).max()) for p in parts)


def _split(q: Tensor, limit: int) -> list[tuple[Tensor, int]]:
    """q as it is where an operator holds it, else as [(lo, 1), (hi, 256)]."""
    if q.abs().max() <= limit:
        return [(q, 1)]
    low, high = in_bytes(q)
    return [(low, 1), (high, 256)]
