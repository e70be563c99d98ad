"""What arrives at one layer of neurons, or at the output, on one scale per channel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from network.fixed.arithmetic import Arithmetic
from network.fixed.integers import LIMIT, Weights, scale_of, sum_of
from network.fixed.plan import Current, Fire, Identity, NotFixedPoint
from network.neurons import Neuron
from network.pooling import PooledCurrent


@dataclass(frozen=True)
class Spikes:
    """Whole numbers up to `largest`; height: what 1 of them is worth, float64 [1, ...].

    name: of the value. order: of flattened features in memory, where it is not their own.
    """

    name: str
    height: Tensor
    largest: int
    order: Tensor | None = None


@dataclass(frozen=True)
class Arriving:
    """What adds to a current of `shape` [1, ...]; pool: the max pooling that follows it."""

    shape: torch.Size
    weights: tuple[Weights, ...] = ()
    identities: tuple[Spikes, ...] = ()
    static: tuple[str, ...] = ()
    pool: PooledCurrent | None = None

    @property
    def pooled_shape(self) -> torch.Size:
        """Of what arrives behind pooling, where there is any."""
        if self.pool is None:
            return self.shape
        return torch.Size(self.pool(torch.empty(self.shape, device="meta")).shape)


@dataclass(frozen=True)
class Rounding:
    """Bits of a weight, and how whole numbers are computed."""

    bits: int
    arithmetic: Arithmetic


def neuron_layer(
    name: str, described: str, neuron: Neuron, arriving: Arriving, rounding: Rounding
) -> tuple[Fire, Tensor]:
    """The layer in whole numbers, and the height of its spikes, float64 [1, ...].

    Raises NotFixedPoint, naming the layer, for neurons that leak.
    """
    if neuron.dynamics.decay != 1.0 or neuron.leak is not None:
        raise NotFixedPoint(f"{described} leaks")
    shape = arriving.pooled_shape
    theta, start = neuron.theta.detach().double(), neuron.start.detach().double()
    current = current_of(described, arriving, theta, neuron.shift.detach().double(), rounding)
    sigma = current.sigma
    if arriving.pool is not None:
        sigma = _spread(sigma[0, :, 0, 0], shape)
    whole_theta = (_spread(theta, shape) / sigma).round().clamp(min=1)
    whole_start = (_spread(start, shape) / sigma).round()
    if max(whole_theta.max(), whole_start.abs().max()) >= LIMIT / 4:
        raise NotFixedPoint(f"threshold or start of {described} pass 28 bits")
    fire = Fire(
        name,
        current,
        _laid_out(whole_theta).int(),
        _laid_out(whole_start).int(),
        neuron.dynamics.reset,
    )
    height = theta if neuron.height == "threshold" else torch.ones_like(theta)
    return fire, _spread(height, shape)


def current_of(
    described: str, arriving: Arriving, theta: Tensor | None, shift: Tensor, rounding: Rounding
) -> Current:
    """The current on the scale of its weights, or of θ where it has none.

    theta, shift: float64, scalar or [C]; theta is None at the output. Raises NotFixedPoint where
    sums pass what is exact.
    """
    ones = torch.ones(arriving.shape[1], dtype=torch.float64, device=shift.device)
    weights = list(arriving.weights)
    constant = sum((w.bias for w in weights), shift * ones)
    more = constant.abs() + sum(s.largest * _largest_height(s) for s in arriving.identities)
    sigma = scale_of(weights, None if theta is None else theta * ones, rounding.bits, more)
    summed = None
    if weights:
        summed = sum_of(weights, constant, sigma, rounding.arithmetic)
        shift = torch.zeros_like(shift)
    bound = 0.0 if summed is None else summed.bound
    sigma = _spread(sigma, arriving.shape)
    identities = []
    for spikes in arriving.identities:
        per_spike = (spikes.height / sigma).round()
        identities.append(Identity(spikes.name, _laid_out(per_spike).int()))
        bound += float(per_spike.abs().max()) * spikes.largest
    if bound >= LIMIT / 2:
        raise NotFixedPoint(f"{described} sums more than 29 bits hold")
    shift = _spread(shift, arriving.shape)
    static, pool = arriving.static, arriving.pool
    return Current(summed, tuple(identities), static, sigma, shift, bound, pool)


def _largest_height(spikes: Spikes) -> Tensor:
    """[C]."""
    return spikes.height.abs().transpose(0, 1).flatten(1).amax(1)


def _spread(value: Tensor, shape: torch.Size) -> Tensor:
    """Scalar or [C] as [1, C, ...] of one image."""
    if value.ndim:
        value = value.view(1, -1, *([1] * (len(shape) - 2)))
    return value.expand(shape)


def _laid_out(x: Tensor) -> Tensor:
    """One image laid out as its spikes are: channels last."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x.contiguous()
