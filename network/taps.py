"""What may watch a run of a spiking network: protocols that `unroll` calls, chunk by chunk."""

from __future__ import annotations

from typing import Literal, Protocol, TypeVar, runtime_checkable

from torch import Tensor

from network.neurons import NeuronState


class Tap(Protocol):
    """Watches a run. `first` is the number of steps that came before the chunk."""

    def inputs(self, first: int, inputs: Tensor) -> None:
        """Encoded input of a chunk, [steps, B, ...] (steps = 1, once, where it is static)."""

    def neurons(
        self, name: str, first: int, current: Tensor, spikes: Tensor, state: NeuronState
    ) -> None:
        """One layer of neurons in one chunk: current and spikes [steps, B, ...]."""


@runtime_checkable
class ReadsNoCurrents(Protocol):
    """A tap that leaves the `current` of `neurons` alone: the spikes may have taken its place."""

    reads_no_currents: Literal[True]


Before = TypeVar("Before", covariant=True)


@runtime_checkable
class Counts(Protocol[Before]):
    """A tap that also counts what is spent before the counted steps."""

    def before(self) -> Before:
        """What watches the steps of an observation."""


@runtime_checkable
class LayerTap(Protocol):
    """A tap that also watches layers that know no time: batch norms and poolings."""

    def layer(self, name: str, first: int, steps: int, x: Tensor, value: Tensor) -> None:
        """What such a layer makes of x in a chunk, both [steps·B, ...] (once, steps = 1, where it
        does not depend on the step)."""

    def mask(self, name: str, mask: Tensor) -> None:
        """The mask [B, ...] that a dropout keeps for all steps."""
