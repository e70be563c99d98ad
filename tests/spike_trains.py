"""What a run of a spiking network did, for tests."""

import torch
from torch import Tensor

from network.unroll import SpikingNetwork, unroll


class Trains:
    """A tap that keeps all spikes and currents by layer."""

    def __init__(self) -> None:
        self.spikes: dict[str, list[Tensor]] = {}
        self.currents: dict[str, list[Tensor]] = {}

    def inputs(self, first: int, inputs: Tensor) -> None: ...

    def neurons(self, name, first, current, spikes, state) -> None:
        self.spikes.setdefault(name, []).append(spikes.clone())
        self.currents.setdefault(name, []).append(current.clone())


def own_spikes(network: SpikingNetwork, x: Tensor, steps: int) -> tuple[dict[str, Tensor], Tensor]:
    """Spikes of every layer as 0 and 1, [T, B, ...], and the outputs."""
    trains = Trains()
    with torch.no_grad():
        outputs = unroll(network, x, steps, taps=[trains])
    spikes = {name: (torch.cat(parts) > 0).float() for name, parts in trains.spikes.items()}
    return spikes, outputs
