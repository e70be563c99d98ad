"""Steps that a spiking network takes before the counted ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from network.neurons import Neuron, NeuronState

Prepare = Callable[[Neuron, Tensor], tuple[Tensor, NeuronState]]


@dataclass(frozen=True)
class Observation:
    """Steps that a network spends before the counted ones, and what its neurons do in them.

    prepare(neuron, current [steps, B, ...]) returns the spikes that the next layer sees meanwhile
    and the state in which the neuron starts the run proper.

    carries_on: whether the run proper goes on where these steps end; else it starts anew.
    """

    steps: int
    prepare: Prepare
    carries_on: bool = False

    @property
    def only_delays(self) -> bool:
        """Whether the neurons do what they always do, and the answer leaves that out."""
        return self.carries_on and self.prepare is carry_on


def carry_on(neuron: Neuron, current: Tensor) -> tuple[Tensor, NeuronState]:
    """The neuron does what it always does."""
    return neuron.advance(current, None)


def delayed(steps: int) -> Observation | None:
    """The answer leaves out the output of so many first steps; nothing else changes."""
    return Observation(steps, carry_on, carries_on=True) if steps else None
