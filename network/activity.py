"""Spikes and operations, counted exactly (METHODS.md section 5).

The synapses that one spike drives (its fan-out) follow from the network alone. With every weight
set to 1, without biases, and with average pooling as a sum, the fan-out of a neuron is the
derivative of the sum of what the next synapses put out with respect to that neuron's spike: kernel
borders, stride, padding, groups, residual sums and concatenations come out right by construction.
Whether a layer adds (AC: its input consists of spikes) or multiplies (MAC: its input is analogue)
is a property of the graph, never guessed from values.

Conventions: a multiplication with padding is not counted. A spike that reaches the next membrane
through an identity shortcut counts one AC. Average pooling routes spikes and costs nothing of its
own, unless a layer of pooling neurons follows it: then it is a synapse.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from network.graph import SYNAPSES, Kind, describe_node, kind_of
from network.neurons import Neuron, NeuronState
from network.unroll import static_nodes

INPUT = "input"


@dataclass(frozen=True)
class Synapse:
    """One synaptic layer: its geometry, dense operations per pass, and what it reads.

    operations: multiplications of one dense pass over one image.
    analogue: whether its input is analogue (MACs) rather than spikes (ACs).
    static: whether it computes the same at every step of a constant input.
    """

    name: str
    operation: str
    operations: int
    analogue: bool
    static: bool
    geometry: dict[str, int]


@dataclass(frozen=True)
class Wiring:
    """Fan-out of every source of spikes and the list of synaptic layers, for one input shape.

    fan_out: source name ('input' or an activation's node name) -> float64 [C, H, W] or [F].
    feeds: source name -> the synaptic layer whose output its current comes from, or None.
    """

    fan_out: dict[str, Tensor]
    synapses: tuple[Synapse, ...]
    feeds: dict[str, Synapse | None]
    roles: dict[str, str] = field(default_factory=dict)


def wiring(body: fx.GraphModule, shape: tuple[int, ...], *, spiking_input: bool) -> Wiring:
    """The synapses of a traced ANN or SNN for one image of `shape` [C, H, W]."""
    return _Counter(body, spiking_input).run(shape)


class _Counter:
    """Interprets the graph once in float64 with unit weights."""

    def __init__(self, body: fx.GraphModule, spiking_input: bool) -> None:
        self.body = body
        self.spiking_input = spiking_input
        self.modules = dict(body.named_modules())
        self.static = static_nodes(body)
        self.sources: dict[str, Tensor] = {}
        self.driven: list[Tensor] = []
        self.synapses: list[Synapse] = []
        self.feeds: dict[str, Synapse | None] = {}
        self.roles: dict[str, str] = {}
        self.analogue: dict[fx.Node, bool] = {}
        self.origin: dict[fx.Node, Synapse | None] = {}

    @torch.enable_grad()
    def run(self, shape: tuple[int, ...]) -> Wiring:
        values: dict[fx.Node, Any] = {}
        for node in self.body.graph.nodes:
            if node.op == "output":
                break
            inputs = node.all_input_nodes
            self.analogue[node] = any(self.analogue[n] for n in inputs)
            self.origin[node] = next((self.origin[n] for n in reversed(inputs)), None)
            values[node] = self._value(node, values, shape)
        total = torch.stack([x.sum() for x in self.driven if x.requires_grad] or [torch.zeros(())])
        leaves = list(self.sources.values())
        if total.requires_grad:
            gradients = torch.autograd.grad(total.sum(), leaves, allow_unused=True)
        else:
            gradients = (None,) * len(leaves)
        fan_out = {
            name: (torch.zeros_like(leaf) if g is None else g)[0].detach()
            for (name, leaf), g in zip(self.sources.items(), gradients, strict=True)
        }
        return Wiring(fan_out, tuple(self.synapses), self.feeds, self.roles)

    def _value(self, node: fx.Node, values: dict[fx.Node, Any], shape: tuple[int, ...]) -> Any:
        kind = kind_of(self.body, node)
        if kind is Kind.INPUT:
            self.analogue[node] = not self.spiking_input
            return self._source(INPUT, torch.ones(1, *shape, dtype=torch.float64))
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: values[n])
        if kind in (Kind.NEURON, Kind.ACTIVATION):
            return self._activation(node, args[0])
        if kind is Kind.SYNAPSE or (kind is Kind.AVERAGE_POOL and self._is_spiking_pool(node)):
            return self._synapse(node, kind, args[0])
        if kind is Kind.AVERAGE_POOL:
            return sum_pool(self.modules[str(node.target)], args[0])
        if kind in (Kind.NORM, Kind.DROPOUT):
            return args[0]
        if kind is Kind.CONSTANT:
            self.analogue[node] = False
            value = self.body.get_parameter(str(node.target)) if _is_parameter(node, self.body) else None
            return value.double() if isinstance(value, Tensor) else torch.zeros(())
        return self._plain(node, args, kwargs)

    def _plain(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        if node.op == "call_module":
            return self.modules[str(node.target)].double()(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        return node.target(*args, **kwargs)  # type: ignore[operator]

    def _source(self, name: str, ones: Tensor) -> Tensor:
        self.sources[name] = ones.requires_grad_()
        return self.sources[name]

    def _is_spiking_pool(self, node: fx.Node) -> bool:
        modules = [self.modules.get(str(user.target)) for user in node.users]
        return any(isinstance(m, Neuron) and m.role == "pooling" for m in modules)

    def _activation(self, node: fx.Node, current: Tensor) -> Tensor:
        module = self.modules[str(node.target)]
        if isinstance(module, Neuron):
            self.driven.append(current)  # identity shortcuts: synapses were detached
            self.analogue[node] = False
            self.roles[node.name] = module.role
        else:
            self.roles[node.name] = "hidden"
        self.feeds[node.name] = self.origin[node]
        return self._source(node.name, torch.ones_like(current).detach())

    def _synapse(self, node: fx.Node, kind: Kind, x: Tensor) -> Tensor:
        module = self.modules[str(node.target)]
        with torch.no_grad():
            dense = _unit(module, kind)(torch.ones_like(x))
        analogue = self.analogue[node]
        if not analogue or not self._spiking():
            self.driven.append(_unit(module, kind)(x))
        synapse = Synapse(
            node.name,
            describe_node(self.body, node).split(" (")[-1].rstrip(")"),
            int(dense.sum().item()),
            analogue,
            node in self.static,
            _geometry(module, dense),
        )
        self.synapses.append(synapse)
        self.origin[node] = synapse
        self.analogue[node] = True
        return torch.zeros_like(dense)

    def _spiking(self) -> bool:
        return any(isinstance(module, Neuron) for module in self.modules.values())


def _is_parameter(node: fx.Node, body: fx.GraphModule) -> bool:
    return str(node.target) in dict(body.named_parameters())


def _unit(module: nn.Module, kind: Kind) -> Callable[[Tensor], Tensor]:
    """The layer with every weight 1 and no bias; average pooling as a sum."""
    if kind is Kind.AVERAGE_POOL:
        return lambda x: sum_pool(module, x)
    assert isinstance(module, SYNAPSES)
    twin = copy.deepcopy(module).double()
    nn.init.ones_(twin.weight)
    twin.bias = None
    return twin.requires_grad_(False)


def sum_pool(module: nn.Module, x: Tensor) -> Tensor:
    """Average pooling with every window summed."""
    if isinstance(module, nn.AvgPool2d):
        return F.avg_pool2d(
            x, module.kernel_size, module.stride, module.padding, module.ceil_mode,
            divisor_override=1,
        )  # fmt: skip
    pooled: Tensor = module(x)
    with torch.no_grad():  # windows of equal size: the mean times the window
        ratio = x[0, 0].numel() / max(pooled[0, 0].numel(), 1)
    return pooled * ratio


def _geometry(module: nn.Module, output: Tensor) -> dict[str, int]:
    """What the energy models with memory need: channels, kernel, stride, output size."""
    if isinstance(module, nn.Conv2d):
        height, width = output.shape[-2:]
        return {
            "in_channels": module.in_channels // module.groups,
            "out_channels": module.out_channels,
            "kernel_height": module.kernel_size[0],
            "kernel_width": module.kernel_size[1],
            "stride": module.stride[0],
            "out_height": height,
            "out_width": width,
        }
    if isinstance(module, nn.Linear):
        sizes = (module.in_features, module.out_features)
        return dict(zip(_GEOMETRY, (*sizes, 1, 1, 1, 1, 1), strict=True))
    channels = output.shape[1]
    spatial = output.shape[2:] if output.ndim == 4 else (1, 1)
    kernel = getattr(module, "kernel_size", 1)
    size = kernel if isinstance(kernel, int) else kernel[0]
    return dict(zip(_GEOMETRY, (1, channels, size, size, size, *spatial), strict=True))


_GEOMETRY = (
    "in_channels",
    "out_channels",
    "kernel_height",
    "kernel_width",
    "stride",
    "out_height",
    "out_width",
)


class ActivityCounter:
    """A tap that sums spikes and ACs of every source and step over all images it sees.

    After the runs, `spikes[name]` and `synaptic[name]` are float64 [T]: totals over images in
    each single step (not cumulative).
    """

    def __init__(self, wires: Wiring, timesteps: int, thresholds: dict[str, Tensor | None]) -> None:
        self.wires = wires
        self.heights = thresholds
        self.images = 0
        names = list(wires.fan_out)
        self.spikes = {name: torch.zeros(timesteps, dtype=torch.float64) for name in names}
        self.synaptic = {name: torch.zeros(timesteps, dtype=torch.float64) for name in names}

    def inputs(self, first: int, inputs: Tensor) -> None:
        if first == 0:
            self.images += inputs.shape[1]
        if self.heights[INPUT] is not None:
            self._count(INPUT, first, inputs.abs())

    def neurons(
        self, name: str, first: int, current: Tensor, spikes: Tensor, state: NeuronState
    ) -> None:
        del current, state
        self._count(name, first, spikes)

    def _count(self, name: str, first: int, spikes: Tensor) -> None:
        height = self.heights[name]
        assert height is not None
        totals = spikes.sum(dim=1, dtype=torch.float32)  # [steps, ...], at most B per place
        if height.ndim:
            height = height.view(-1, *([1] * (totals.ndim - 2)))
        counts = (totals / height).round().double().flatten(1).cpu()
        steps = slice(first, first + counts.shape[0])
        self.spikes[name][steps] += counts.sum(dim=1)
        self.synaptic[name][steps] += counts @ self.wires.fan_out[name].flatten()


def count_activity(network: Any, shape: tuple[int, ...], timesteps: int) -> ActivityCounter:
    """A counter for a SpikingNetwork and images of `shape` [C, H, W]."""
    from network.encodings import ENCODINGS

    spiking_input = ENCODINGS.get(network.encoding).spiking
    one = torch.ones(())
    heights: dict[str, Tensor | None] = {
        name: neuron.theta.detach().cpu() if neuron.height == "threshold" else one
        for name, neuron in network.neurons().items()
    }
    heights[INPUT] = one if spiking_input else None
    return ActivityCounter(
        wiring(network.body, shape, spiking_input=spiking_input), timesteps, heights
    )
