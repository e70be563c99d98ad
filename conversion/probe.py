"""Phase probe: how much of a conversion's loss comes from the order of the spikes.

The spikes of one layer are permuted in time and the network is read again: rates stay, phases go.
What the accuracy gains or loses by it is the work of unevenness.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from network.graph import Kind, layers, replace_module
from network.neurons import Neuron, NeuronState
from network.saved import Origin
from network.unroll import SpikingNetwork, unroll


def permuted_scores(
    network: SpikingNetwork,
    images: Tensor,
    layer: str,
    timesteps: int,
    *,
    generator: torch.Generator,
    keys: Tensor | None = None,
) -> Tensor:
    """Scores after every step [T, B, K] with every spike train of `layer` in random order.

    Raises ValueError where the network has no layer of that name.
    """
    if layer not in network.neurons():
        raise ValueError(f"layer must be one of {', '.join(network.neurons())}, got {layer!r}")
    probed = copy.deepcopy(network)
    for node, neuron in list(layers(probed.body, Kind.NEURON)):
        if node.name == layer:
            assert isinstance(neuron, Neuron)
            replace_module(probed.body, node, _Permuted(neuron, generator))
    probed.body.recompile()
    with torch.no_grad():
        outputs = unroll(probed, images, timesteps, keys=keys, chunk=timesteps)
    return probed.read(outputs)


class _Permuted(Neuron):
    """Sends its spikes in random order, drawn for each neuron alone; needs all steps at once."""

    def __init__(self, neuron: Neuron, generator: torch.Generator) -> None:
        super().__init__(
            neuron.dynamics,
            theta=neuron.theta,
            start=neuron.start,
            shift=neuron.shift,
            height=neuron.height,
        )
        self.generator = generator

    def advance(
        self,
        current: Tensor,
        state: NeuronState | None,
        origin: Origin | None = None,
        *,
        ours: bool = False,
    ) -> tuple[Tensor, NeuronState]:
        spikes, after = super().advance(current, state, origin, ours=ours)
        order = torch.rand(spikes.shape, generator=self.generator).argsort(0)
        return spikes.gather(0, order.to(spikes.device)), after
