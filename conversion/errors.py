"""Why a conversion loses accuracy: the error of each layer, split into three parts.

With the ANN's activation a and the spiking output o = rate·θ after T steps, as shares
of ‖a‖ over the images::

    clipping      c = min(a, θ) − a        the threshold is too low: take a higher percentile
    quantisation  r = q(a) − min(a, θ)     q: the neuron's output for an even current a;
                                           mended by more steps, lower θ, a start of θ/2
    unevenness    u = o − q(a)             the rest: spikes came in another order than evenly, and
                                           what the layers before passed on (calibration, srp)
    total         o − a = c + r + u
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from conversion.rates import mean_outputs_at
from conversion.statistics import activations
from network.encodings import image_keys
from network.graph import Kind, UnsupportedNetwork, layers
from network.neurons import Neuron, advance, per_channel
from network.unroll import SpikingNetwork


@dataclass(frozen=True)
class ErrorRow:
    """One layer after one number of steps; the errors are shares of ‖a‖."""

    timestep: int
    index: int
    layer: str
    clipping: float
    quantisation: float
    unevenness: float
    total: float


def error_split(
    ann: fx.GraphModule,
    network: SpikingNetwork,
    images: Tensor,
    timesteps: Sequence[int],
    *,
    seed: int = 0,
) -> list[ErrorRow]:
    """The split for every layer and every T in `timesteps`, on images [B, ...].

    ann: the folded ANN that the network was converted from (conversion.prepare_ann).
    Raises UnsupportedNetwork where the two do not have the same layers, ValueError where a layer
    of the ANN is silent on all images.
    """
    names = [node.name for node, _ in layers(ann, Kind.ACTIVATION)]
    if names != list(network.neurons()):
        raise UnsupportedNetwork(
            f"the ANN and the spiking network must have the same layers, got {names} "
            f"and {list(network.neurons())}"
        )
    targets = activations(ann, images)
    keys = image_keys(seed, torch.arange(len(images), device=images.device))
    rows = []
    for steps, outputs in mean_outputs_at(network, images, keys, sorted(timesteps)).items():
        for index, (name, neuron) in enumerate(network.neurons().items()):
            parts = split(neuron, outputs[name], targets[name], steps)
            rows.append(ErrorRow(steps, index, name, *_shares(name, parts, targets[name])))
    return rows


def split(
    neuron: Neuron, output: Tensor, target: Tensor, steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Clipping, quantisation and unevenness of one layer, each [B, ...]; they add up to o − a."""
    current = target.unsqueeze(0).expand(steps, *target.shape)
    theta = per_channel(neuron.theta, current)
    dynamics = neuron.dynamics
    start = neuron.initial_state(current).v
    spikes, _ = advance(current, start, theta, decay=dynamics.decay, reset=dynamics.reset)
    even = spikes.mean(0) * theta
    clipped = target.minimum(theta)
    return clipped - target, even - clipped, output - even


def _shares(name: str, parts: tuple[Tensor, ...], target: Tensor) -> list[float]:
    size = float(target.double().norm())
    if size == 0:
        raise ValueError(f"layer {name} of the ANN is silent on all {len(target)} images")
    total = torch.stack(parts).sum(0)
    return [float(part.double().norm()) / size for part in (*parts, total)]
