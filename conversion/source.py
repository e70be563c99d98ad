"""What a conversion method works from: the folded ANN, the calibration images, and the editor."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn

from network.encodings import image_keys
from network.functional import ClippedReLU
from network.graph import Kind, Quantised, free_target, layers, replace_module
from network.neurons import Dynamics, Neuron, Reset
from network.observation import Observation
from network.taps import Tap
from network.unroll import SpikingNetwork, unroll


class SilentLayer(ValueError):
    """A layer that never becomes active on the calibration images: it has no threshold."""


@dataclass(frozen=True)
class Balance:
    """What a method returns, by layer name: scalars or one value per channel [C].

    theta: thresholds, finite and positive.
    start: potential before the first step; 0 where a layer is missing.
    shift: current added at every step; 0 where a layer is missing.
    weights: new values of parameters of the folded network, by name.
    observation: steps spent before the answer, `calibration_timesteps` in all.
    """

    theta: Mapping[str, Tensor]
    start: Mapping[str, Tensor] = field(default_factory=dict)
    shift: Mapping[str, Tensor] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    observation: Observation | None = None
    notes: tuple[str, ...] = ()

    @property
    def calibration_timesteps(self) -> int:
        return 0 if self.observation is None else self.observation.steps


@dataclass(frozen=True)
class Source:
    """A folded ANN in normal form, and the calibration images in batches [B, C, H, W]."""

    body: fx.GraphModule
    batches: Sequence[Tensor]
    encoding: str
    reset: Reset
    seed: int

    @property
    def names(self) -> list[str]:
        """Names of the activations, in order of execution."""
        return [node.name for node, _ in layers(self.body, Kind.ACTIVATION)]

    @property
    def paths(self) -> dict[str, str]:
        """Name of each activation -> its path in the user's network."""
        return {
            node.name: str(node.meta.get("path", node.target))
            for node, _ in layers(self.body, Kind.ACTIVATION)
        }

    @property
    def image_count(self) -> int:
        return sum(len(images) for images in self.batches)

    def keyed_batches(self, size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and their keys for random encodings; the keys do not depend on the batches.

        size: images in a batch, for methods whose steps depend on it; None takes them as they are.
        """
        first = 0
        for images in self.batches if size is None else torch.cat(list(self.batches)).split(size):
            indices = torch.arange(first, first + len(images), device=images.device)
            yield images, image_keys(self.seed, indices)
            first += len(images)

    def settle(self, theta: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
        """Thresholds bounded by clipped activations, and notes about silent channels.

        A silent channel gets the largest threshold of its layer. Raises SilentLayer, naming the
        layer, where a whole layer has no positive threshold.
        """
        settled, notes = {}, []
        for node, activation in layers(self.body, Kind.ACTIVATION):
            name = node.name
            value = theta[name].detach().float()
            largest = value.max()
            if not bool(torch.isfinite(value).all()):
                raise SilentLayer(
                    f"layer {self.paths[name]} gets a threshold that is not finite: the network's "
                    "weights are not, or sums grow too large on the calibration images"
                )
            if largest <= 0:
                raise SilentLayer(
                    f"layer {self.paths[name]} gets the threshold {largest.item():g} from "
                    f"{self.image_count} calibration images; it must be positive: its neurons are "
                    "(almost) never active, so give more or other images, a higher percentile, or, "
                    "where the spiking network is run for it, more timesteps"
                )
            silent = value <= 0
            if silent.any():
                notes.append(
                    f"{self.paths[name]}: {int(silent.sum())} of {value.numel()} channels were "
                    "silent on the calibration images; they take the layer's largest threshold"
                )
                value = torch.where(silent, largest, value)
            bound = bound_of(activation)
            settled[name] = value if bound is None else value.clamp(max=bound)
        return settled, tuple(notes)

    def spiking(self, balance: Balance, *, until: str | None = None) -> SpikingNetwork:
        """The spiking network with these numbers; it shares the weights it does not replace.

        until: name of the last layer of neurons to keep; the network then puts out nothing.
        """
        body = fx.GraphModule(self.body, copy.deepcopy(self.body.graph))
        for node, _ in list(layers(body, Kind.ACTIVATION)):
            replace_module(body, node, self._neuron(node.name, balance))
            if node.name == until:
                _cut_behind(body, node)
                break
        for name, value in balance.weights.items():
            _set_weight(body, name, value)
        body.delete_all_unused_submodules()
        body.graph.lint()
        body.recompile()
        network = SpikingNetwork(body, encoding=self.encoding, observation=balance.observation)
        return network.eval()

    def _neuron(self, name: str, balance: Balance) -> Neuron:
        neuron = Neuron(
            Dynamics(1.0, self.reset),
            theta=balance.theta[name],
            start=balance.start.get(name, 0.0),
            shift=balance.shift.get(name, 0.0),
            height="threshold",
        )
        return neuron.to(self.batches[0].device)

    @torch.no_grad()
    def watch(self, network: SpikingNetwork, timesteps: int, *taps: Tap) -> None:
        """Run a spiking network on every calibration image; the taps see it."""
        for images, keys in self.keyed_batches():
            unroll(network, images, timesteps, keys=keys, taps=taps)


def bound_of(activation: nn.Module) -> float | None:
    """The largest value an activation can put out, None where there is none."""
    if isinstance(activation, nn.ReLU6):
        return 6.0
    if isinstance(activation, ClippedReLU):
        return activation.bound
    if isinstance(activation, Quantised):
        return float(activation.threshold)
    return None


class _End(nn.Module):
    """Ends a network that was cut: one zero per image."""

    def forward(self, spikes: Tensor) -> Tensor:
        return spikes.new_zeros(len(spikes), 1)


def _cut_behind(body: fx.GraphModule, node: fx.Node) -> None:
    output = next(n for n in body.graph.nodes if n.op == "output")
    with body.graph.inserting_before(output):
        target = free_target(body, "end")
        body.add_submodule(target, _End())
        end = body.graph.call_module(target, (node,))
    output.args = (end,)
    body.graph.eliminate_dead_code()


def _set_weight(body: fx.GraphModule, name: str, value: Tensor) -> None:
    """Replace a parameter on a copy of its layer: other networks share the original."""
    path, _, attribute = name.rpartition(".")
    layer = copy.deepcopy(body.get_submodule(path))
    setattr(layer, attribute, nn.Parameter(value, requires_grad=False))
    parent, _, child = path.rpartition(".")
    setattr(body.get_submodule(parent), child, layer)
