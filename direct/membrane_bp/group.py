"""Groups of event neurons as layers of a network, and a run of a chain of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from direct.membrane_bp.compiled import Compiled, compiled
from direct.membrane_bp.neuron import EventDynamics, advance_events
from network.encodings import ENCODINGS
from network.neurons import Dynamics, Neuron, NeuronState
from network.saved import Origin
from network.taps import Tap
from network.unroll import SpikingNetwork, unroll

PLAIN_CHUNK, CHUNK = 8, 64  # steps at once: plain, and by the library


class EventNeuron(Neuron):
    """A group of `lif-event` neurons, each with a trained threshold [N].

    learning_share: rate at which thresholds are learned, as a share of that of the weights.
    """

    def __init__(self, events: EventDynamics, theta: Tensor, learning_share: float = 1.0) -> None:
        super().__init__(Dynamics(events.decay, "soft"), theta=theta)
        self.events, self.learning_share = events, learning_share
        start = self.theta
        del self.theta
        self.theta = nn.Parameter(start)

    def advance(
        self,
        current: Tensor,
        state: NeuronState | None,
        origin: Origin | None = None,
        *,
        ours: bool = False,
    ) -> tuple[Tensor, NeuronState]:
        """Current [T, B, N] and state to (spikes [T, B, N], state); no gradient."""
        del origin, ours
        v, since = self.before(current, state)
        theta, library = self.theta.detach(), library_for(current)
        if library is None:
            spikes, v, since = advance_events(current, v, since, theta, self.events)
        else:
            spikes, v, since = library.advance(current, None, v, since, theta, self.events)
        return spikes, NeuronState(v, None, since)

    def before(self, arriving: Tensor, state: NeuronState | None) -> tuple[Tensor, Tensor]:
        """Potentials and times since the last spike, [B, N], in front of [T, B, ...]."""
        if state is None or state.since is None:
            v = torch.zeros(arriving.shape[1], len(self.theta), device=arriving.device)
            return v, torch.full_like(v, math.inf)
        return state.v, state.since


def library_for(x: Tensor) -> Compiled | None:
    """The compiled form where it takes such values."""
    return compiled() if x.device.type == "cpu" and x.dtype == torch.float32 else None


@dataclass(frozen=True)
class Layer:
    """A fully connected layer and its group of neurons."""

    name: str
    linear: nn.Linear
    neuron: EventNeuron
    floor: float


@torch.no_grad()
def run(
    network: SpikingNetwork,
    chain: list[Layer],
    images: Tensor,
    timesteps: int,
    keys: Tensor,
    tap: Tap,
) -> Tensor:
    """`unroll` of a network that is nothing but this chain: spikes of the last layer [T, B, K].

    Where the library runs here it sums every layer over its spikes, in another order than a
    product of matrices.
    """
    library = library_for(images)
    if library is None:
        return unroll(network, images, timesteps, keys=keys, chunk=PLAIN_CHUNK, taps=[tap])
    encoding = ENCODINGS.get(network.encoding)
    rows = [layer.linear.weight.t().contiguous() for layer in chain]
    states: list[NeuronState | None] = [None] * len(chain)
    outputs = []
    for first in range(0, timesteps, CHUNK):
        steps = min(CHUNK, timesteps - first)
        encoded = encoding.encode(images, first, steps, keys)
        if encoding.static:
            encoded = encoded.repeat(steps, *([1] * (encoded.ndim - 1)))
        arriving = encoded.unflatten(0, (steps, len(images)))
        if not (encoding.static and first):
            tap.inputs(first, arriving[:1] if encoding.static else arriving)
        arriving = arriving.flatten(2)
        for index, layer in enumerate(chain):
            neuron = layer.neuron
            v, since = neuron.before(arriving, states[index])
            theta = neuron.theta.detach()
            spikes, v, since = library.advance(
                arriving, rows[index], v, since, theta, neuron.events
            )
            states[index] = state = NeuronState(v, None, since)
            tap.neurons(layer.name, first, arriving, spikes, state)
            arriving = spikes
        outputs.append(arriving)
    return torch.cat(outputs)
