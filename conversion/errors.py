"""Why a conversion loses accuracy: the error of each layer, split into three parts.

With the ANN's activation a of the current z and the spiking output o = rate·θ after T steps, as
shares of ‖a‖ over the images::

    clipping      c = min(a, θ) − a        the threshold is too low: take a higher percentile
    quantisation  r = q(z) − min(a, θ)     q: the neuron's output for an even current, without a
                                           corrected bias; mended by more steps, lower θ, a start
                                           of θ/2. Where a is quantised (qcfs) what a rounds away
                                           is part of it, which more steps do not mend
    unevenness    u = o − q(z)             the rest: spikes came in another order than evenly, and
                                           what the layers before passed on (calibration, srp)
    total         o − a = c + r + u
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from conversion.rates import Replay, mean_outputs_at
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
    targets, replay = activations(ann, images), Replay(ann, {}, until=names[-1])
    replay.run(images)
    seen = network.observation
    delay = seen.steps if seen is not None and seen.only_delays else 0
    keys = image_keys(seed, torch.arange(len(images), device=images.device))
    rows = []
    for steps, outputs in mean_outputs_at(network, images, keys, sorted(timesteps)).items():
        for index, (name, neuron) in enumerate(network.neurons().items()):
            current, target = replay.currents[name], targets[name]
            parts = split(neuron, outputs[name], current, target, steps, delay=delay)
            rows.append(ErrorRow(steps, index, name, *_shares(name, parts, target)))
    return rows


def split(
    neuron: Neuron, output: Tensor, current: Tensor, target: Tensor, steps: int, *, delay: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Clipping, quantisation and unevenness of one layer, each [B, ...]; they add up to o − a.

    output: o. current: z, of the ANN. target: a. delay: first steps that o leaves out.
    """
    evenly = current.unsqueeze(0).expand(delay + steps, *current.shape)
    theta = per_channel(neuron.theta, evenly)
    dynamics = neuron.dynamics
    start = neuron.initial_state(evenly).v
    spikes, _ = advance(evenly, start, theta, decay=dynamics.decay, reset=dynamics.reset)
    even = spikes[delay:].mean(0) * theta
    clipped = target.minimum(theta)
    return clipped - target, even - clipped, output - even


def _shares(name: str, parts: tuple[Tensor, ...], target: Tensor) -> list[float]:
    size = float(target.double().norm())
    if size == 0:
        raise ValueError(f"layer {name} of the ANN is silent on all {len(target)} images")
    total = torch.stack(parts).sum(0)
    return [float(part.double().norm()) / size for part in (*parts, total)]
