"""Spikes and operations of a run, counted exactly.

Counts are whole numbers, kept in float64: exact below 2^53.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, fx

from network.encodings import ENCODINGS
from network.graph import INPUT, Kind, UnsupportedNetwork, kind_of
from network.neurons import NeuronState
from network.unroll import SpikingNetwork
from network.wiring import Wiring, multiplications, wiring


class ActivityCounter:
    """A tap that sums spikes and ACs over all images it sees.

    spikes: source -> [T] spikes in each single step (not cumulative), over all images.
    pooled: max pooling over spikes -> [T] what it lets through, as spikes.
    accumulates: target -> [T] ACs in each single step, over all images; targets as in Wiring.
    images: how many images were seen.
    observed: steps before the counted ones; what they cost counts with the first step.
    """

    reads_no_currents: Literal[True] = True

    def __init__(
        self, wires: Wiring, timesteps: int, heights: dict[str, Tensor], observed: int = 0
    ) -> None:
        """heights: height of a spike for every source that spikes, scalar or [C]."""
        self.wires = wires
        self.observed = observed
        self.heights = heights
        self.images = 0
        self.spikes = {name: torch.zeros(timesteps, dtype=torch.float64) for name in heights}
        self.pooled = {name: torch.zeros(timesteps, dtype=torch.float64) for name in wires.pooled}
        sources = (*heights, *wires.pooled)
        targets = {target for name in sources for target in wires.fan_out[name]}
        self.accumulates = {t: torch.zeros(timesteps, dtype=torch.float64) for t in targets}
        self.by_place = {name: _same_in_channels(wires.fan_out[name]) for name in heights}

    def inputs(self, first: int, inputs: Tensor) -> None:
        if first == 0:
            self.images += inputs.shape[1]
        if INPUT in self.heights:
            whole = inputs.dtype == torch.uint8
            totals = _whole_sum(inputs) if whole else _in_units(inputs.abs(), self.heights[INPUT])
            self._count(INPUT, first, totals)

    def of_whole_numbers(self) -> ActivityCounter:
        """The counter, for a fixed-point run: there every spike is 1 high."""
        self.heights = dict.fromkeys(self.heights, torch.ones(()))
        return self

    def before(self) -> _Before:
        return _Before(self)

    def neurons(
        self, name: str, first: int, current: Tensor, spikes: Tensor, state: NeuronState
    ) -> None:
        del current, state
        self._count(name, first, _in_units(spikes, self.heights[name]))

    def layer(self, name: str, first: int, steps: int, x: Tensor, value: Tensor) -> None:
        del x
        if name in self.pooled:
            spikes = value.abs().unflatten(0, (steps, -1))
            self._count(name, first, _in_units(spikes, torch.ones(())))

    def mask(self, name: str, mask: Tensor) -> None:
        del name, mask

    def count(self, name: str, first: int, spikes: Tensor, places: Tensor | None) -> None:
        """Spikes of a fixed-point run, uint8 [steps, B, ...] of height 1.

        places: spikes by place [steps, H·W], where they are known already.
        """
        fan_out = self.by_place[name]
        if places is None or fan_out is None:
            self._count(name, first, _whole_sum(spikes))
        else:
            self._add(name, first, places.double(), fan_out)

    def _count(self, name: str, first: int, totals: Tensor) -> None:
        """totals: spikes of all images [steps, ...]."""
        fan_out = {t: fan.flatten() for t, fan in self.wires.fan_out[name].items()}
        self._add(name, first, totals.double().flatten(1).cpu(), fan_out)

    def _add(self, name: str, first: int, counts: Tensor, fan_out: dict[str, Tensor]) -> None:
        """counts [steps, N] of what fan_out [N] of each target says the synapses of."""
        steps = slice(first, first + len(counts))
        sums = self.pooled if name in self.pooled else self.spikes
        sums[name][steps] += counts.sum(dim=1)
        for target, fan in fan_out.items():
            self.accumulates[target][steps] += counts @ fan


class _Before:
    """Adds the spikes of an observation to those of a counter's first step."""

    def __init__(self, counter: ActivityCounter) -> None:
        self.counter = counter

    def inputs(self, first: int, inputs: Tensor) -> None:
        del first
        if INPUT in self.counter.heights:
            self._add(INPUT, inputs.abs())

    def count(self, name: str, first: int, spikes: Tensor, places: Tensor | None) -> None:
        del first
        fan_out = self.counter.by_place[name]
        if places is None or fan_out is None:
            self.counter._count(name, 0, _whole_sum(spikes).sum(dim=0, keepdim=True))
        else:
            self.counter._add(name, 0, places.sum(dim=0, keepdim=True).double(), fan_out)

    def neurons(
        self, name: str, first: int, current: Tensor, spikes: Tensor, state: NeuronState
    ) -> None:
        del first, current, state
        self._add(name, spikes)

    def layer(self, name: str, first: int, steps: int, x: Tensor, value: Tensor) -> None:
        del first, x
        if name in self.counter.pooled:
            self._add(name, value.abs().unflatten(0, (steps, -1)))

    def mask(self, name: str, mask: Tensor) -> None:
        del name, mask

    def _add(self, name: str, spikes: Tensor) -> None:
        totals = _in_units(spikes, self.counter.heights.get(name, torch.ones(())))
        self.counter._count(name, 0, totals.sum(dim=0, keepdim=True))


def _same_in_channels(fan_out: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Fan-out by place where all channels have the same everywhere, else None."""
    fans = {
        target: fan.flatten(1) if fan.ndim > 1 else fan[:, None] for target, fan in fan_out.items()
    }
    if any(not torch.equal(fan, fan[:1].expand_as(fan)) for fan in fans.values()):
        return None
    return {target: fan[0] for target, fan in fans.items()}


def _in_units(spikes: Tensor, height: Tensor) -> Tensor:
    """Spikes over all images, [steps, B, ...] of any height to [steps, ...]."""
    totals = _sum_over_images(spikes)
    if height.ndim:
        height = height.view(-1, *([1] * (totals.ndim - 2)))
    height = height.to(totals.device)
    if spikes.is_floating_point():
        height = height.to(spikes.dtype)  # as high as the spikes are: θ rounded, in bfloat16
    return (totals / height).round()


def _whole_sum(spikes: Tensor) -> Tensor:
    """The sum over B of uint8 0 and 1 [steps, B, ...], eight neighbours in memory at once.

    Up to 255 images fill a byte without carrying into the next.
    """
    flat = _as_in_memory(spikes)
    if spikes.shape[1] > 255 or flat.shape[-1] % 8 or not flat.is_contiguous():
        return _sum_over_images(spikes)
    return _in_place(flat.view(torch.int64).sum(dim=1).view(torch.uint8), spikes)


def _sum_over_images(spikes: Tensor) -> Tensor:
    """[steps, B, ...] to float32 [steps, ...]; ten times faster along the order in memory."""
    return _in_place(_as_in_memory(spikes).sum(dim=1, dtype=torch.float32), spikes)


def _as_in_memory(spikes: Tensor) -> Tensor:
    """[steps, B, C, ...] as [steps, B, N], channels last."""
    return (spikes.movedim(2, -1) if spikes.ndim > 3 else spikes).flatten(2)


def _in_place(totals: Tensor, spikes: Tensor) -> Tensor:
    """[steps, N] of `_as_in_memory` as [steps, C, ...] again."""
    if spikes.ndim <= 3:
        return totals
    return totals.view(len(totals), *spikes.shape[3:], spikes.shape[2]).movedim(-1, 1)


def count_activity(
    network: SpikingNetwork, shape: tuple[int, ...], timesteps: int
) -> ActivityCounter:
    """A counter for runs of `network` on images of `shape` [C, H, W].

    Raises UnsupportedNetwork, naming the layer, where synapses cannot be counted.
    """
    one = torch.ones(())
    heights = {
        name: neuron.theta.detach() if neuron.height == "threshold" else one
        for name, neuron in network.neurons().items()
    }
    spiking_input = ENCODINGS.get(network.encoding).spiking
    if spiking_input:
        heights = {INPUT: one, **heights}
    wires = wiring(network.body, shape, spiking_input=spiking_input)
    for name, sources in wires.pooled.items():
        if any(heights[source] is not one for source in sources):
            raise UnsupportedNetwork(
                f"{name} takes the maximum over spikes that are as high as their threshold, which "
                "are not counted: let it pool currents"
            )
    observed = 0 if network.observation is None else network.observation.steps
    return ActivityCounter(wires, timesteps, heights, observed)


class EffectiveMacs(fx.Interpreter):
    """Runs a traced ANN and counts the MACs whose activation is not zero.

    total: over all images; images: how many were seen.
    """

    def __init__(self, body: fx.GraphModule, shape: tuple[int, ...]) -> None:
        super().__init__(body)
        self.wires = wiring(body, shape)
        self.multiplications: dict[str, Tensor] = {}
        self.total = 0.0
        self.images = 0

    def run_node(self, n: fx.Node) -> Any:
        kind = kind_of(self.module, n)  # type: ignore[arg-type]
        if kind is Kind.SYNAPSE:
            self._count(n, self.env[n.all_input_nodes[0]])
        value = super().run_node(n)
        if kind is Kind.INPUT:
            self.images += value.shape[0]
        return value

    def _count(self, n: fx.Node, x: Tensor) -> None:
        """What a layer with weights reads: a pooled value is multiplied once."""
        if n.name not in self.multiplications:
            layer = self.submodules[str(n.target)]
            self.multiplications[n.name] = multiplications(layer, x.shape[1:]).flatten()
        active = (x != 0).sum(dim=0).double().flatten().cpu()
        self.total += float(active @ self.multiplications[n.name])
