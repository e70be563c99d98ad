"""A converted network in whole numbers, ready to run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, fx

from network.fixed.plan import Plan
from network.fixed.planner import make_plan
from network.operators import Units
from network.unroll import SpikingNetwork

Bits = Literal[8, 16, 24]


@dataclass(frozen=True)
class FixedPointNetwork:
    """A spiking network with weights, thresholds and potentials as whole numbers.

    source: the network that it computes. shape: of one image [C, H, W]. bits: of a weight.
    """

    source: SpikingNetwork
    shape: tuple[int, ...]
    bits: Bits
    plan: Plan

    @property
    def body(self) -> fx.GraphModule:
        return self.source.body

    @property
    def encoding(self) -> str:
        return self.source.encoding

    @property
    def note(self) -> str:
        """Which arithmetic runs here, one line."""
        sums = [current.sum for current in self.plan.currents if current.sum is not None]
        limits = sorted(
            {drive.limit for total in sums for drive in total.drives if drive.limit > 0}
        )
        dense = "; ".join(dict.fromkeys(note for total in sums for note in total.notes))
        if limits:
            shares = " or ".join(f"{min(limit, 1.0):.0%}" for limit in limits)
            return f"{dense}, by events where at most {shares} of the inputs spike"
        missing = self.plan.arithmetic.missing
        return f"{dense}; not by events: {missing}" if missing else dense

    def read(self, outputs: Tensor) -> Tensor:
        """Outputs of every step [T, B, K] to scores at every step [T, B, K]."""
        return self.source.read(outputs)


def fixed_point(
    network: SpikingNetwork,
    images_shape: tuple[int, ...],
    bits: Bits,
    *,
    units: Units | None = None,
    events: bool | None = None,
) -> FixedPointNetwork:
    """The network in whole numbers of 8, 16 or 24 bits.

    images_shape: of one image, [C, H, W].
    units: dense operators; None takes the fastest exact ones of this machine.
    events: whether weights are summed spike by spike; None where a probe of this machine finds
        that faster. No result depends on either.

    Raises NotFixedPoint, naming the layer, for a network with other parts than these:
    integrate-and-fire neurons, 2-d convolutions and linear layers on spikes, average pooling of
    spikes, max pooling of currents in front of neurons, sums, and a constant or Poisson input.
    """
    if bits not in (8, 16, 24):
        raise ValueError(f"bits must be 8, 16 or 24, got {bits}")
    plan = make_plan(network, images_shape, bits, units, events)
    return FixedPointNetwork(network, tuple(images_shape), bits, plan)
