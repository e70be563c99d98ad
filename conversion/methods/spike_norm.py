"""`spike-norm`: thresholds from the spiking network itself, layer by layer (Sengupta 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from conversion.method import method
from conversion.options import LOOKED_FOR
from conversion.source import Balance, Source
from network.neurons import NeuronState


@method(
    "spike-norm",
    summary="threshold = largest current of the layer in the spiking network so far",
    source="Sengupta 2019, algorithm 1",
    calibration_images=128,
    timesteps=LOOKED_FOR,
)
def spike_norm(source: Source, *, timesteps: int) -> Balance:
    """θ_l = largest input current of layer l in any neuron at any of `timesteps` steps.

    The layers before it already spike with their thresholds. The paper takes Poisson input, the
    whole training set and as many steps as the network will run; here the input is what the network
    will run with. The largest of many currents is an extreme value: it keeps growing with steps and
    images (second layer of a LeNet on MNIST: 14.5 after 16 steps, 16.6 after 100, 21.7 after 400).
    """
    theta = {name: torch.ones(()) for name in source.names}
    for name in source.names:
        peak = _Peak(name)
        source.watch(source.spiking(Balance(theta), until=name), timesteps, peak)
        theta[name] = peak.value
        theta = source.settle(theta)[0]
    return Balance(theta)


class _Peak:
    """A tap that keeps the largest current of one layer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.value = torch.zeros(())

    def inputs(self, first: int, inputs: Tensor) -> None:
        del first, inputs

    def neurons(
        self, name: str, first: int, current: Tensor, spikes: Tensor, state: NeuronState
    ) -> None:
        del first, spikes, state
        if name == self.name:
            self.value = torch.maximum(self.value, current.amax().cpu())
