"""`spike-norm`: thresholds from the spiking network itself, layer by layer (Sengupta 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from conversion.method import method, within
from conversion.source import Balance, Source
from network.neurons import NeuronState


@method(
    "spike-norm",
    summary="threshold = largest current of the layer in the spiking network so far",
    source="Sengupta 2019, algorithm 1",
    calibration_images=256,
)
def spike_norm(source: Source, *, timesteps: int = 100) -> Balance:
    """θ_l = largest input current of layer l in any neuron at any of `timesteps` steps.

    The layers before it already spike with their thresholds. The paper's input is Poisson over
    more than 2,000 steps; here it is the encoding that the network will run with, and the largest
    current of the LeNet grows by less than 2 % from 100 steps to 400.
    """
    within("spike-norm", "timesteps", timesteps, 0, float("inf"))
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
