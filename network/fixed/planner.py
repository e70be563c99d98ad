"""From a converted network to a plan in whole numbers.

The graph is walked once with the images' shape. Values made of spikes carry their height (what
one spike is worth) and the largest whole number they can be; a current is kept as the list of
what adds to it, until a layer of neurons or the output sets its scale.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from network.encodings import ENCODINGS
from network.fixed.arithmetic import choose_arithmetic
from network.fixed.currents import Arriving, Rounding, Spikes, current_of, neuron_layer
from network.fixed.integers import Weights
from network.fixed.plan import (
    Flatten,
    Instruction,
    NotFixedPoint,
    Output,
    Plan,
    Pool,
    Reshape,
)
from network.fixed.pooling import sum_pool_of
from network.graph import Kind, describe_node, kind_of
from network.neurons import Neuron
from network.nodes import call_node, static_nodes
from network.operators import Units, Window
from network.pooling import PooledCurrent
from network.unroll import SpikingNetwork

LARGEST = 255  # of what an 8-bit operator reads


def make_plan(
    network: SpikingNetwork,
    shape: tuple[int, ...],
    bits: int,
    units: Units | None,
    events: bool | None,
) -> Plan:
    """The plan for images of `shape`; units and events None take the fastest of this machine.

    Raises NotFixedPoint, naming the layer.
    """
    observation = network.observation
    if observation is not None and not observation.only_delays:
        raise NotFixedPoint("its neurons prepare themselves in steps of observation")
    if network.encoding not in ("constant", "poisson"):
        raise NotFixedPoint(f"inputs of encoding {network.encoding} have no whole-number form here")
    return _Planner(network, bits, units, events).run(shape)


class _Planner:
    def __init__(
        self, network: SpikingNetwork, bits: int, units: Units | None, events: bool | None
    ) -> None:
        self.body = network.body
        self.constant = ENCODINGS.get(network.encoding).static
        self.static = static_nodes(self.body) if self.constant else set()
        weight = next(self.body.parameters(), torch.empty(()))
        self.device, self.dtype = weight.device, weight.dtype
        self.rounding = Rounding(bits, choose_arithmetic(units, events, self.device.type))
        self.values: dict[fx.Node, Any] = {}
        self.instructions: list[Instruction] = []

    @torch.no_grad()
    def run(self, shape: tuple[int, ...]) -> Plan:
        for node in self.body.graph.nodes:
            if node.op == "output":
                output = self._output(node)
                arithmetic = self.rounding.arithmetic
                return Plan(tuple(self.instructions), output, frozenset(self.static), arithmetic)
            self.values[node] = self._value(node, shape)
        raise AssertionError("a graph ends with its output")

    def _value(self, node: fx.Node, shape: tuple[int, ...]) -> Any:
        kind = kind_of(self.body, node)
        if kind is Kind.INPUT:
            ones = torch.ones(1, *shape, device=self.device, dtype=self.dtype)
            return ones if self.constant else Spikes(node.name, ones.double(), 1)
        if node in self.static:
            return self._as_it_stands(node)
        value = self.values[node.all_input_nodes[0]] if node.all_input_nodes else None
        if kind is Kind.NEURON:
            return self._neuron(node)
        if kind is Kind.SUM:
            return self._add(node)
        if kind is Kind.DROPOUT or _is_identity(self.body, node):
            return value
        if kind is Kind.SHAPE:
            return self._reshape(node)
        if kind is Kind.SYNAPSE and isinstance(value, Spikes):
            return self._synapse(node, value)
        if kind is Kind.AVERAGE_POOL and isinstance(value, Spikes):
            return self._pool(node, value)
        if kind is Kind.MAX_POOL and isinstance(value, Arriving):
            return self._max_pool(node)
        raise NotFixedPoint(f"{describe_node(self.body, node)} has no whole-number form here")

    def _as_it_stands(self, node: fx.Node) -> Any:
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: self.values[n])
        return call_node(self.body, node, args, kwargs)

    def _reshape(self, node: fx.Node) -> Any:
        """Shape nodes move the heights as they move the spikes."""
        flat = self._flatten(node)
        if flat is not None:
            return flat
        spikes = [v for n in node.all_input_nodes if isinstance(v := self.values[n], Spikes)]
        if any(isinstance(self.values[n], Arriving) for n in node.all_input_nodes):
            raise NotFixedPoint(f"{describe_node(self.body, node)} reshapes a current")
        args, kwargs = fx.map_arg(
            (node.args, node.kwargs),
            lambda n: v.height if isinstance(v := self.values[n], Spikes) else v,
        )
        result = call_node(self.body, node, args, kwargs)
        if isinstance(result, tuple | list) and any(isinstance(part, Tensor) for part in result):
            raise NotFixedPoint(f"{describe_node(self.body, node)} splits spikes")
        names = {n.name: self._name(n) for n in node.all_input_nodes}
        self.instructions.append(Reshape(node, names))
        if not isinstance(result, Tensor):
            return result
        return Spikes(node.name, result, max(s.largest for s in spikes))

    def _flatten(self, node: fx.Node) -> Spikes | None:
        """Maps flattened for linear layers only: not moved, the layers take the memory's order."""
        source = node.all_input_nodes[0]
        spikes = self.values[source]
        modules = dict(self.body.named_modules())
        linear = all(isinstance(modules.get(str(u.target)), nn.Linear) for u in node.users)
        one_map = isinstance(spikes, Spikes) and spikes.height.ndim == 4
        if not (one_map and linear and len(node.all_input_nodes) == 1):
            return None
        size = spikes.height.shape
        places = torch.arange(size.numel(), device=self.device).view(size)
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: places)
        flat = call_node(self.body, node, args, kwargs)
        if not torch.equal(flat, places.flatten(1)):
            return None
        order = places.permute(0, 2, 3, 1).flatten()
        self.instructions.append(Flatten(node.name, spikes.name))
        return Spikes(node.name, spikes.height.flatten(1), spikes.largest, order)

    def _name(self, node: fx.Node) -> str:
        value = self.values[node]
        return value.name if isinstance(value, Spikes) else node.name

    def _synapse(self, node: fx.Node, spikes: Spikes) -> Arriving:
        layer = self.body.get_submodule(str(node.target))
        window = _window(layer, describe_node(self.body, node))
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        weight = layer.weight.detach().double()
        if window is None:
            if spikes.height.ndim != 2:
                raise NotFixedPoint(f"{describe_node(self.body, node)} reads unflattened spikes")
            weight = weight * spikes.height
            if spikes.order is not None:
                weight = weight[:, spikes.order]
        else:
            weight = weight * self._channel_heights(node, spikes.height, window.groups)
        bias = torch.zeros(len(weight), dtype=torch.float64, device=weight.device)
        if layer.bias is not None:
            bias = layer.bias.detach().double()
        result = layer(torch.zeros_like(spikes.height, dtype=layer.weight.dtype))
        weights = Weights(spikes.name, spikes.largest, weight, bias, window)
        return Arriving(result.shape, weights=(weights,))

    def _channel_heights(self, node: fx.Node, height: Tensor, groups: int) -> Tensor:
        """Heights of the incoming channels, shaped for the weight [O, I/groups, kh, kw]."""
        channels = self._alike(node, height)
        if groups == 1:
            return channels.view(1, -1, 1, 1)
        outputs = self.body.get_submodule(str(node.target)).out_channels
        assert isinstance(outputs, int)
        return channels.view(groups, -1).repeat_interleave(outputs // groups, 0)[..., None, None]

    def _alike(self, node: fx.Node, height: Tensor) -> Tensor:
        """The one height of the spikes of each channel, [C]."""
        channels = height.amax((0, 2, 3))
        same = (height == channels.view(1, -1, 1, 1)) | (height == 0)
        if not bool(same.all()):
            raise NotFixedPoint(
                f"{describe_node(self.body, node)} reads spikes of different heights in one channel"
            )
        return channels

    def _pool(self, node: fx.Node, spikes: Spikes) -> Spikes:
        pool = None
        if spikes.height.ndim == 4:
            module = self.body.get_submodule(str(node.target))
            pool = sum_pool_of(module, *spikes.height.shape[-2:])
        if pool is None:
            raise NotFixedPoint(f"{describe_node(self.body, node)} does not divide by one number")
        largest = spikes.largest * pool.numbers
        if largest > LARGEST:
            raise NotFixedPoint(
                f"{describe_node(self.body, node)} sums up to {largest} spikes, at most {LARGEST}"
            )
        heights = self._alike(node, spikes.height).view(1, -1, 1, 1)
        heights = heights / torch.full_like(heights, pool.divisor)
        size = self.body.get_submodule(str(node.target))(spikes.height).shape
        heights = (heights.flatten(1) if pool.flatten else heights).expand(size)
        self.instructions.append(Pool(node.name, spikes.name, spikes.largest, pool))
        return Spikes(node.name, heights, largest)

    def _max_pool(self, node: fx.Node) -> Arriving:
        """Pooling of a current that neurons read, as `_unpooled` sees to."""
        arriving = self._arriving(node.all_input_nodes[0])
        module = self.body.get_submodule(str(node.target))
        if not isinstance(module, PooledCurrent) or len(arriving.shape) != 4:
            raise NotFixedPoint(f"{describe_node(self.body, node)} does not pool maps of currents")
        return replace(_unpooled(arriving, describe_node(self.body, node)), pool=module)

    def _add(self, node: fx.Node) -> Arriving:
        parts = [self._arriving(n) for n in node.all_input_nodes]
        if len(parts) != 2 or len(node.args) != 2 or node.kwargs:
            raise NotFixedPoint(f"{describe_node(self.body, node)} is not a plain sum of two")
        first, second = (_unpooled(part, describe_node(self.body, node)) for part in parts)
        if first.shape != second.shape:
            raise NotFixedPoint(f"{describe_node(self.body, node)} adds values of other shapes")
        return Arriving(
            first.shape,
            first.weights + second.weights,
            first.identities + second.identities,
            first.static + second.static,
        )

    def _arriving(self, node: fx.Node) -> Arriving:
        value = self.values[node]
        if isinstance(value, Spikes):
            return Arriving(value.height.shape, identities=(value,))
        if isinstance(value, Arriving):
            if len(node.users) > 1:
                raise NotFixedPoint(
                    f"the current of {describe_node(self.body, node)} is used twice"
                )
            return value
        if node in self.static and isinstance(value, Tensor):
            return Arriving(value.shape, static=(node.name,))
        raise NotFixedPoint(f"{describe_node(self.body, node)} is added as a plain number")

    def _neuron(self, node: fx.Node) -> Spikes:
        neuron = self.body.get_submodule(str(node.target))
        assert isinstance(neuron, Neuron)
        name = describe_node(self.body, node)
        arriving = self._arriving(node.all_input_nodes[0])
        if len(arriving.shape) not in (2, 4):
            raise NotFixedPoint(f"{name} is no layer [B, F] and no maps [B, C, H, W]")
        fire, height = neuron_layer(node.name, name, neuron, arriving, self.rounding)
        self.instructions.append(fire)
        return Spikes(node.name, height, 1)

    def _output(self, node: fx.Node) -> Output:
        source = node.args[0]
        if not isinstance(source, fx.Node):
            raise NotFixedPoint("it puts out more than one value")
        value = self.values[source]
        if isinstance(value, Spikes):
            return Output(None, value.name, value.height)
        arriving = _unpooled(self._arriving(source), "its output")
        if not arriving.weights and not arriving.identities:
            raise NotFixedPoint("no spikes reach its output")
        nothing = torch.zeros((), dtype=torch.float64, device=self.device)
        name = describe_node(self.body, source)
        current = current_of(name, arriving, None, nothing, self.rounding)
        return Output(current, None, current.sigma)


def _unpooled(arriving: Arriving, described: str) -> Arriving:
    """What arrives; refused where it is pooled, which only neurons read."""
    if arriving.pool is not None:
        raise NotFixedPoint(f"{described} reads a current behind max pooling")
    return arriving


def _is_identity(body: fx.GraphModule, node: fx.Node) -> bool:
    return node.op == "call_module" and isinstance(
        body.get_submodule(str(node.target)), nn.Identity
    )


def _window(layer: nn.Module, name: str) -> Window | None:
    if isinstance(layer, nn.Linear):
        return None
    if not isinstance(layer, nn.Conv2d):
        raise NotFixedPoint(f"{name} is neither a 2-d convolution nor a linear layer")
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise NotFixedPoint(f"{name} pads in a way of its own")
    return Window(layer.stride, layer.padding, layer.dilation, layer.groups)
