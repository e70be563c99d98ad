"""The synapses that one spike drives, from the network alone.

With every weight set to 1, without biases, and with average pooling as a sum, the fan-out of a
neuron is the derivative of what the next synapses put out with respect to that neuron's spike:
kernel borders, stride, padding, groups, residual sums and concatenations come out right by
construction. Whether a layer adds (AC: its input consists of spikes) or multiplies (MAC: its input
is analogue) is a property of the graph, never guessed from values.

Conventions: a multiplication with padding is not counted. A spike that reaches the next membrane
through an identity shortcut is one AC. Average pooling routes spikes and costs nothing of its
own, unless a layer of pooling neurons follows it: then it is a synapse. Batch norm is folded.
Which spike max pooling lets through is known only while it runs: what it puts out is a source.
Scaling or shifting by constants, and the weights of a sum, drive no synapses and change no count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from network.graph import (
    INPUT,
    OUTPUT,
    SYNAPSES,
    Kind,
    UnsupportedNetwork,
    describe_node,
    kind_of,
    whereabouts,
)
from network.neurons import Neuron
from network.nodes import call_node, constant_nodes
from network.passing import are_whole, has_weights, instead, moves, name_of, passed_on
from network.reparametrised import plain_copy
from network.sizes import is_size
from network.windows import geometry, sum_pool


@dataclass(frozen=True)
class Synapse:
    """One synaptic layer: its operations per dense pass, and what it reads.

    operations: multiplications of one dense pass over one image.
    analogue: its input is analogue (MACs) rather than spikes (ACs).
    static: it computes the same at every step of a constant input.
    reads: the sources of spikes whose output reaches it.
    geometry: in_channels (per group), out_channels, kernel_height, kernel_width, stride,
        out_height, out_width, groups.
    """

    name: str
    operation: str
    operations: int
    analogue: bool
    static: bool
    reads: tuple[str, ...]
    geometry: dict[str, int]


@dataclass(frozen=True)
class Layer:
    """One row of layers.csv: a layer of neurons (or the output) and the synapses in front of it."""

    name: str
    kind: str  # input, hidden, pooling or output
    neurons: int
    synapses: tuple[Synapse, ...]


@dataclass(frozen=True)
class Wiring:
    """All layers of a network for one input shape, and the fan-out of every source.

    fan_out: source -> target -> synapses that one spike drives there, float64 of the source's
        shape. A target is a synapse, or a layer of neurons reached by an identity shortcut.
    pooled: the sources that are max pooling over spikes -> the sources whose spikes they read.
    """

    layers: tuple[Layer, ...]
    fan_out: dict[str, dict[str, Tensor]]
    pooled: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def synapses(self) -> tuple[Synapse, ...]:
        return tuple(synapse for layer in self.layers for synapse in layer.synapses)


def wiring(body: fx.GraphModule, shape: tuple[int, ...], *, spiking_input: bool = False) -> Wiring:
    """The wiring of a traced ANN or SNN for one image of `shape` [C, H, W].

    Raises UnsupportedNetwork, naming the node, for what drives synapses that cannot be counted.
    """
    return _Counter(body, spiking_input).run(shape)


class _Counter:
    """Interprets the graph once in float64 with unit weights."""

    def __init__(self, body: fx.GraphModule, spiking_input: bool) -> None:
        self.body = body
        self.spiking_input = spiking_input
        self.modules = dict(body.named_modules())
        self.spiking = any(isinstance(m, Neuron) for m in self.modules.values())
        self.static = set() if spiking_input else constant_nodes(body)
        self.sources: dict[str, Tensor] = {}
        self.driven: dict[str, Tensor] = {}
        self.pooled: dict[str, tuple[str, ...]] = {}
        self.spiking_sources: set[str] = set()
        self.layers: list[Layer] = []
        self.placed: set[str] = set()
        # per node: analogue values? synapses since the last neurons; sources since the last synapse
        self.analogue: dict[fx.Node, bool] = {}
        self.behind: dict[fx.Node, tuple[Synapse, ...]] = {}
        self.reads: dict[fx.Node, tuple[str, ...]] = {}

    @torch.enable_grad()
    def run(self, shape: tuple[int, ...]) -> Wiring:
        values: dict[fx.Node, Any] = {}
        for node in self.body.graph.nodes:
            inputs = [] if is_size(node) else node.all_input_nodes
            self.analogue[node] = any(self.analogue[n] for n in inputs)
            self.behind[node] = _union(self.behind[n] for n in inputs)
            self.reads[node] = _union(self.reads[n] for n in inputs)
            if node.op == "output":
                outputs = values[inputs[0]].numel() if inputs else 0
                self._place(OUTPUT, OUTPUT, outputs, self.behind[node])
                break
            values[node] = self._value(node, values, shape)
        return Wiring(tuple(self.layers), self._fan_out(), self.pooled)

    def _fan_out(self) -> dict[str, dict[str, Tensor]]:
        table: dict[str, dict[str, Tensor]] = {name: {} for name in self.sources}
        leaves = list(self.sources.values())
        for target, driven in self.driven.items():
            if not driven.requires_grad:
                continue
            gradients = torch.autograd.grad(
                driven.sum(), leaves, allow_unused=True, retain_graph=True
            )
            for name, gradient in zip(self.sources, gradients, strict=True):
                if gradient is not None and gradient.any():
                    table[name][target] = gradient[0].detach()
        return table

    def _value(self, node: fx.Node, values: dict[fx.Node, Any], shape: tuple[int, ...]) -> Any:
        kind = kind_of(self.body, node)
        arguments: Any = fx.map_arg((node.args, node.kwargs), lambda n: values[n])
        args, kwargs = arguments
        if kind is Kind.INPUT:
            self.analogue[node] = not self.spiking_input
            self._place(INPUT, INPUT, torch.Size(shape).numel(), ())
            return self._source(node, INPUT, torch.ones(1, *shape, dtype=torch.float64))
        if kind in (Kind.NEURON, Kind.ACTIVATION):
            return self._activation(node, args[0])
        if kind is Kind.SYNAPSE or (kind is Kind.AVERAGE_POOL and self._feeds_pooling(node)):
            return self._synapse(node, kind, args[0])
        if kind is Kind.AVERAGE_POOL:
            return sum_pool(self.modules[str(node.target)], args[0])
        if kind is Kind.MAX_POOL and self._carries_spikes(node):
            return self._max_pool(node, args[0])
        if kind in (Kind.NORM, Kind.DROPOUT):
            return args[0]
        if kind is Kind.CONSTANT:
            constant = call_node(self.body, node, args, kwargs)
            return constant.detach().cpu().double() if isinstance(constant, Tensor) else constant
        if kind is Kind.OTHER:
            return self._other(node, args, kwargs, values)
        if node.target in ("detach", "clone"):
            return args[0]
        if kind is Kind.SUM:
            kwargs = {name: value for name, value in kwargs.items() if name != "alpha"}
        return call_node(self.body, node, args, kwargs)

    def _other(self, node: fx.Node, args: Any, kwargs: Any, values: dict[fx.Node, Any]) -> Any:
        """An operation without synapses that counts know; raises UnsupportedNetwork for another."""
        tensors = [n for n in node.all_input_nodes if not is_size(n)]
        varying = [n for n in tensors if self.reads[n] or self.behind[n]]
        name = name_of(self.body, node)
        passed = passed_on(name, args, kwargs, [values[n] for n in varying])
        if passed is not None:
            return passed
        blind = not (self.spiking_sources & set(self.reads[node])) and not (
            has_weights(self.body, node) or 0 < len(varying) < len(tensors)
        )
        if not varying or blind or moves(self.body, node):
            return call_node(self.body, node, args, kwargs)
        raise UnsupportedNetwork(
            f"{describe_node(self.body, node)} is not among the operations whose synapses are "
            f"counted (convolution, linear, batch norm, pooling, sums, scaling by constants and "
            f"moving are){instead(name)}{whereabouts(node)}"
        )

    def _source(self, node: fx.Node, name: str, ones: Tensor) -> Tensor:
        if not self.analogue[node] and (self.spiking or self.spiking_input):
            self.spiking_sources.add(name)
        self.reads[node] = (name,)
        self.behind[node] = ()
        self.sources[name] = ones.requires_grad_()
        return self.sources[name]

    def _place(self, name: str, kind: str, neurons: int, synapses: tuple[Synapse, ...]) -> None:
        """Give each synapse to the first layer that its output reaches."""
        fresh = tuple(s for s in synapses if s.name not in self.placed)
        self.placed.update(s.name for s in fresh)
        self.layers.append(Layer(name, kind, neurons, fresh))

    def _feeds_pooling(self, node: fx.Node) -> bool:
        modules = [self.modules.get(str(user.target)) for user in node.users]
        return any(isinstance(m, Neuron) and m.role == "pooling" for m in modules)

    def _activation(self, node: fx.Node, current: Tensor) -> Tensor:
        module = self.modules[str(node.target)]
        role = "hidden"
        if isinstance(module, Neuron):
            role = module.role
            self.driven[node.name] = current  # identity shortcuts only: synapses are cut off
            self.analogue[node] = False
        self._place(node.name, role, current.numel(), self.behind[node])
        return self._source(node, node.name, torch.ones_like(current).detach())

    def _carries_spikes(self, node: fx.Node) -> bool:
        """Whether a node reads spikes and nothing analogue."""
        return bool(self.spiking_sources & set(self.reads[node])) and not self.analogue[node]

    def _max_pool(self, node: fx.Node, spikes: Tensor) -> Tensor:
        if not are_whole(self.body, node.all_input_nodes[0]):
            raise UnsupportedNetwork(
                f"{describe_node(self.body, node)} takes the maximum over averaged or scaled "
                "spikes, whose synapses cannot be counted: take it over the spikes themselves"
            )
        read, behind = self.reads[node], self.behind[node]
        self.pooled[node.name] = _union(self.pooled.get(name, (name,)) for name in read)
        pooled: Tensor = self.modules[str(node.target)](spikes)
        source = self._source(node, node.name, torch.ones_like(pooled).detach())
        self.behind[node] = behind
        return source

    def _synapse(self, node: fx.Node, kind: Kind, x: Tensor) -> Tensor:
        module = self.modules[str(node.target)]
        unit = _unit(module, kind)
        with torch.no_grad():
            dense = unit(torch.ones_like(x))
        if not (self.spiking and self.analogue[node]):
            self.driven[node.name] = unit(x)
        synapse = Synapse(
            node.name,
            "Conv2d" if isinstance(module, nn.Conv2d) else type(module).__name__,
            int(dense.sum().item()),
            self.analogue[node],
            node in self.static,
            self.reads[node],
            geometry(module, dense),
        )
        self.behind[node] = (*self.behind[node], synapse)
        self.analogue[node] = True
        self.reads[node] = ()
        return torch.zeros_like(dense)


@torch.enable_grad()
def multiplications(layer: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """How often a layer with weights multiplies each number it reads, float64 of `shape`."""
    ones = torch.ones(1, *shape, dtype=torch.float64, requires_grad=True)
    unit = _unit(layer, Kind.SYNAPSE)
    return torch.autograd.grad(unit(ones).sum(), ones)[0][0]


def _union(groups: Any) -> tuple[Any, ...]:
    seen: dict[str, Any] = {}
    for group in groups:
        for item in group:
            seen.setdefault(item if isinstance(item, str) else item.name, item)
    return tuple(seen.values())


def _unit(module: nn.Module, kind: Kind) -> Callable[[Tensor], Tensor]:
    """The layer with every weight 1 and no bias; average pooling as a sum."""
    if kind is Kind.AVERAGE_POOL:
        return lambda x: sum_pool(module, x)
    assert isinstance(module, SYNAPSES)
    twin = plain_copy(module).to("cpu", torch.float64).requires_grad_(False)
    twin.weight.fill_(1.0)
    twin.bias = None
    return twin
