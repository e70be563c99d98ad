"""What a run of a spiking network did, for tests."""

from torch import Tensor


class Trains:
    """A tap that keeps all spikes and currents by layer."""

    def __init__(self) -> None:
        self.spikes: dict[str, list[Tensor]] = {}
        self.currents: dict[str, list[Tensor]] = {}

    def inputs(self, first: int, inputs: Tensor) -> None: ...

    def neurons(self, name, first, current, spikes, state) -> None:
        self.spikes.setdefault(name, []).append(spikes.clone())
        self.currents.setdefault(name, []).append(current.clone())
