"""Mean outputs of a spiking network, comparable with an ANN's activations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from network.graph import Kind, kind_of
from network.neurons import NeuronState
from network.unroll import SpikingNetwork, unroll


class MeanOutput:
    """A tap that averages spikes (with their height) and currents over the steps of one run.

    outputs, currents: layer name -> [B, ...]; `wanted` limits them to one layer.
    """

    def __init__(self, wanted: str | None = None) -> None:
        self.wanted = wanted
        self.outputs: dict[str, Tensor] = {}
        self.currents: dict[str, Tensor] = {}
        self.steps = 0

    def inputs(self, first: int, inputs: Tensor) -> None:
        del first, inputs

    def neurons(
        self, name: str, first: int, current: Tensor, spikes: Tensor, state: NeuronState
    ) -> None:
        del state
        if self.wanted not in (None, name):
            return
        after = first + len(spikes)
        for means, values in ((self.outputs, spikes), (self.currents, current)):
            before = means.get(name, torch.zeros(()))
            means[name] = before.to(values.device) * (first / after) + values.sum(0) / after


def mean_outputs(
    network: SpikingNetwork,
    images: Tensor,
    keys: Tensor,
    timesteps: int,
    wanted: str | None = None,
) -> dict[str, Tensor]:
    """rate · θ of every layer over T steps, [B, ...] by layer name."""
    tap = MeanOutput(wanted)
    with torch.no_grad():
        unroll(network, images, timesteps, keys=keys, taps=[tap])
    return tap.outputs


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
