"""Mean outputs of a spiking network, comparable with an ANN's activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from network.graph import Kind, kind_of
from network.neurons import NeuronState
from network.unroll import SpikingNetwork, unroll


class MeanOutput:
    """A tap that averages the spikes of one run, with their height, over its first T steps.

    means: T -> layer name -> rate · θ [B, ...], for every T in `timesteps`.
    wanted: the one layer that is watched, or None for all of them.
    """

    def __init__(self, timesteps: Sequence[int], wanted: str | None = None) -> None:
        self.wanted = wanted
        self.means: dict[int, dict[str, Tensor]] = {steps: {} for steps in timesteps}
        self.sums: dict[str, Tensor] = {}

    def inputs(self, first: int, inputs: Tensor) -> None:
        del first, inputs

    def neurons(
        self, name: str, first: int, current: Tensor, spikes: Tensor, state: NeuronState
    ) -> None:
        del current, state
        if self.wanted not in (None, name):
            return
        before = self.sums.get(name, torch.zeros_like(spikes[0]))
        for steps, means in self.means.items():
            if first < steps <= first + len(spikes):
                means[name] = (before + spikes[: steps - first].sum(0)) / steps
        self.sums[name] = before + spikes.sum(0)


@torch.no_grad()
def mean_outputs_at(
    network: SpikingNetwork, images: Tensor, keys: Tensor, timesteps: Sequence[int]
) -> dict[int, dict[str, Tensor]]:
    """rate · θ of every layer after each of several numbers of steps, from one run."""
    tap = MeanOutput(timesteps)
    unroll(network, images, max(timesteps), keys=keys, taps=[tap])
    return tap.means


@torch.no_grad()
def mean_outputs(
    network: SpikingNetwork,
    images: Tensor,
    keys: Tensor,
    timesteps: int,
    wanted: str | None = None,
) -> dict[str, Tensor]:
    """rate · θ of every layer, or of the wanted one, over T steps: [B, ...] by layer name."""
    tap = MeanOutput([timesteps], wanted)
    unroll(network, images, timesteps, keys=keys, taps=[tap])
    return tap.means[timesteps]


class Replay(fx.Interpreter):
    """Runs an ANN with the outputs of some activations given; stops at the activation `until`.

    currents: name -> input of each activation that was reached.
    """

    def __init__(self, body: fx.GraphModule, given: Mapping[str, Tensor], until: str) -> None:
        super().__init__(body)
        self.body, self.given, self.until = body, given, until
        self.currents: dict[str, Tensor] = {}

    def current(self, images: Tensor) -> Tensor:
        """Input of the activation `until` [B, ...], differentiable in the weights before it."""
        self.run(images)
        return self.currents[self.until]

    def run_node(self, n: fx.Node) -> Any:
        if self.until in self.currents:
            return None
        if kind_of(self.body, n) is Kind.ACTIVATION:
            self.currents[n.name] = self.env[n.all_input_nodes[0]]
            if n.name in self.given:
                return self.given[n.name]
        return super().run_node(n)
