"""Weights, thresholds and potentials as whole numbers.

One scale per channel of a layer of neurons, over all weights w' that arrive there, each times the
height of its incoming spikes and divided by what its pooling divides by::

    σ_c = max|w'_c| / Q,  Q = 127·256^(n−1) for n bytes: 127, 32512, 8323072;   q = round(w'/σ_c)

and never finer than lets a potential of 2³⁰ hold 256 thresholds (32 with 24 bits; at the output as
many times what arrives beside the weights), and with 24 bits all that arrives at once stay below
2²⁹. For 8-bit operators q = 256·hi + lo, or with three bytes 65536·hi + 256·mid + lo.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from network.fixed.arithmetic import Arithmetic
from network.operators import Operator, Units, Window, count_bytes, float64_units, in_bytes
from network.sums import Rows, digits_of, pack_rows

LARGEST_WEIGHT = {8: 127, 16: 127 * 256, 24: 127 * 65536}
STATIC_STEPS = {8: 2**21, 16: 2**21, 24: 2**25}  # θ in whole numbers where no weights set a scale
LIMIT = 2**30  # potentials are held there
FINEST = {8: 2**22, 16: 2**22, 24: 2**25}  # θ in whole numbers at most
SUM_BITS = 29  # of all that can arrive at once in a channel, where weights have 24 bits


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

    whole: int32, of the weight's shape. bias: float64 [O], its share
    of the bias; the terms of the first drive of a sum have one.
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

    whole: q, int32, of the weight's shape. digits: as in `Rows`, the same for all of a layer.
    limit: the share of inputs that spike in a step up to which events are faster; negative where
    there are none.
    """

    source: str
    largest: int
    whole: Tensor
    window: Window | None
    terms: tuple[Term, ...]
    digits: int
    limit: float

    @cached_property
    def rows(self) -> Rows:
        """Packed when it is first used."""
        return pack_rows(self.whole, self.window, self.digits)


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


def scale_of(weights: list[Weights], theta: Tensor | None, bits: int, more: Tensor) -> Tensor:
    """σ [C] in float64.

    theta: [C] in float64, the threshold; None at the output, where `more` takes its place, so that
    scores of any size are as fine. more: [C] in float64, the largest magnitude of what arrives
    beside what the weights sum.
    """
    coarse = more if theta is None else theta
    theta = torch.where(more > 0, more, 1.0) if theta is None else theta
    if not weights:
        return theta / STATIC_STEPS[bits]
    largest = torch.stack([w.weight.abs().flatten(1).amax(1) for w in weights]).amax(0)
    # by a tensor: accelerators multiply by the reciprocal of a number, with another rounding
    finest = largest / torch.full_like(largest, LARGEST_WEIGHT[bits])
    sigma = torch.where(largest > 0, finest, theta / STATIC_STEPS[bits])
    if bits == 24:
        sums = (w.weight.abs().flatten(1).sum(1) * w.largest for w in weights)
        reach = sum(sums, more)
        # rounded up to 12 bits: the last bits of `reach` depend on the order of its sum
        share, exponent = torch.frexp(reach)
        sigma = torch.maximum(sigma, torch.ldexp((share * 4096).ceil(), exponent - 12 - SUM_BITS))
    return torch.maximum(sigma, coarse / FINEST[bits])


def sum_of(weights: list[Weights], constant: Tensor, sigma: Tensor, arithmetic: Arithmetic) -> Sum:
    """The weights in whole numbers.

    constant: float64 [C], added at every step: biases, and shifts of the neurons.
    """
    added = (constant / sigma).round()
    high, low = added.clamp(min=0), added.clamp(max=0)
    drives: list[Drive] = []
    notes: list[str] = []
    wholes = [(w.weight / w.per_output(sigma)).round() for w in weights]
    counts = [digits_of(q) for q in wholes]
    digits = max(counts) if all(counts) else 0
    for w, q in zip(weights, wholes, strict=True):
        high = high + q.clamp(min=0).flatten(1).sum(1) * w.largest
        low = low + q.clamp(max=0).flatten(1).sum(1) * w.largest
        units = arithmetic.units_for(w.largest)
        bias = None if drives else added
        if _reach(q, bias, w.largest, units) >= units.sum_limit:
            units = float64_units("sums pass what the 8-bit operators hold")
        terms = tuple(
            Term(part.to(torch.int32), own, w.window, units, 256**place)
            for place, (part, own) in enumerate(_split(q, bias, units.weight_limit))
        )
        limit = arithmetic.event_limit(units, len(terms), w.window)
        drives.append(Drive(w.source, w.largest, q.to(torch.int32), w.window, terms, digits, limit))
        notes.append(units.note)
    bound = float(torch.maximum(high, -low).max())
    return Sum(tuple(drives), added.to(torch.int32), bound, tuple(notes))


def _reach(q: Tensor, bias: Tensor | None, largest: int, units: Units) -> float:
    """The largest magnitude on the way to one output of any term."""
    return max(
        float((part.abs().flatten(1).sum(1) * largest + (0 if own is None else own.abs())).max())
        for part, own in _split(q, bias, units.weight_limit)
    )


def _split(q: Tensor, bias: Tensor | None, limit: int) -> list[tuple[Tensor, Tensor | None]]:
    """q and bias as they are where an operator holds q, else byte by byte, the lowest first."""
    count = 1 if q.abs().max() <= limit else count_bytes(q)
    biases = [None] * count if bias is None else in_bytes(bias, count)
    return list(zip(in_bytes(q, count), biases, strict=True))
