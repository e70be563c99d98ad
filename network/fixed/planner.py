"""From a converted network to a plan in whole numbers.

The graph is walked once with the images' shape. Values made of spikes carry their height (what
one spike is worth) and the largest whole number they can be; a current is kept as the list of
what adds to it, until a layer of neurons or the output sets its scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from network.encodings import ENCODINGS
from network.fixed.integers import LIMIT, Weights, scale_of, sum_of
from network.fixed.plan import (
    Current,
    Fire,
    Identity,
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
from network.operators import Units, Window, find_units
from network.unroll import SpikingNetwork, call_node, static_nodes

LARGEST = 255  # of what an 8-bit operator reads


@dataclass(frozen=True)
class _Spikes:
    """name: of the value. height: what one is worth, float64 [1, ...]. largest: whole number."""

    name: str
    height: Tensor
    largest: int


@dataclass(frozen=True)
class _Arriving:
    """What adds to a current of `shape` [1, ...]."""

    shape: torch.Size
    weights: tuple[Weights, ...] = ()
    identities: tuple[_Spikes, ...] = ()
    static: tuple[str, ...] = ()


def make_plan(
    network: SpikingNetwork, shape: tuple[int, ...], bits: int, units: Units | None
) -> Plan:
    """The plan for images of `shape`; units None takes the fastest of this machine.

    Raises NotFixedPoint, naming the layer.
    """
    if network.observation is not None:
        raise NotFixedPoint("its neurons spend steps of observation before the counted ones")
    if network.encoding not in ("constant", "poisson"):
        raise NotFixedPoint(f"the input of encoding {network.encoding} is not made of 0 and 1")
    return _Planner(network, bits, units).run(shape)


class _Planner:
    def __init__(self, network: SpikingNetwork, bits: int, units: Units | None) -> None:
        self.body = network.body
        self.bits = bits
        self.constant = ENCODINGS.get(network.encoding).static
        self.static = static_nodes(self.body) if self.constant else set()
        device = next((p.device.type for p in self.body.parameters()), "cpu")
        self.units = units or find_units(LARGEST, device)
        self.values: dict[fx.Node, Any] = {}
        self.instructions: list[Instruction] = []

    @torch.no_grad()
    def run(self, shape: tuple[int, ...]) -> Plan:
        for node in self.body.graph.nodes:
            if node.op == "output":
                output = self._output(node)
                return Plan(tuple(self.instructions), output, frozenset(self.static), self.units)
            self.values[node] = self._value(node, shape)
        raise AssertionError("a graph ends with its output")

    def _value(self, node: fx.Node, shape: tuple[int, ...]) -> Any:
        kind = kind_of(self.body, node)
        if kind is Kind.INPUT:
            ones = torch.ones(1, *shape)
            return ones if self.constant else _Spikes(node.name, ones.double(), 1)
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
        if kind is Kind.SYNAPSE and isinstance(value, _Spikes):
            return self._synapse(node, value)
        if kind is Kind.AVERAGE_POOL and isinstance(value, _Spikes):
            return self._pool(node, value)
        raise NotFixedPoint(f"{describe_node(self.body, node)} has no whole-number form here")

    def _as_it_stands(self, node: fx.Node) -> Any:
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: self.values[n])
        return call_node(self.body, node, args, kwargs)

    def _reshape(self, node: fx.Node) -> Any:
        """Shape nodes move the heights as they move the spikes."""
        spikes = [v for n in node.all_input_nodes if isinstance(v := self.values[n], _Spikes)]
        if any(isinstance(self.values[n], _Arriving) for n in node.all_input_nodes):
            raise NotFixedPoint(f"{describe_node(self.body, node)} reshapes a current")
        args, kwargs = fx.map_arg(
            (node.args, node.kwargs),
            lambda n: v.height if isinstance(v := self.values[n], _Spikes) else v,
        )
        result = call_node(self.body, node, args, kwargs)
        names = {n.name: self._name(n) for n in node.all_input_nodes}
        self.instructions.append(Reshape(node, names))
        if not isinstance(result, Tensor):
            return result
        return _Spikes(node.name, result, max(s.largest for s in spikes))

    def _name(self, node: fx.Node) -> str:
        value = self.values[node]
        return value.name if isinstance(value, _Spikes) else node.name

    def _synapse(self, node: fx.Node, spikes: _Spikes) -> _Arriving:
        layer = self.body.get_submodule(str(node.target))
        window = _window(layer, describe_node(self.body, node))
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        weight = layer.weight.detach().double()
        if window is None:
            if spikes.height.ndim != 2:
                raise NotFixedPoint(f"{describe_node(self.body, node)} reads unflattened spikes")
            weight = weight * spikes.height
        else:
            weight = weight * self._channel_heights(node, spikes.height, window.groups)
        bias = torch.zeros(len(weight), dtype=torch.float64, device=weight.device)
        if layer.bias is not None:
            bias = layer.bias.detach().double()
        result = layer(torch.zeros_like(spikes.height, dtype=layer.weight.dtype))
        weights = Weights(spikes.name, spikes.largest, weight, bias, window)
        return _Arriving(result.shape, weights=(weights,))

    def _channel_heights(self, node: fx.Node, height: Tensor, groups: int) -> Tensor:
        """Heights of the incoming channels, shaped for the weight [O, I/groups, kh, kw]."""
        channels = height.amax((0, 2, 3))
        same = (height == channels.view(1, -1, 1, 1)) | (height == 0)
        if not bool(same.all()):
            raise NotFixedPoint(
                f"{describe_node(self.body, node)} reads spikes of different heights in one channel"
            )
        if groups == 1:
            return channels.view(1, -1, 1, 1)
        outputs = self.body.get_submodule(str(node.target)).out_channels
        assert isinstance(outputs, int)
        return channels.view(groups, -1).repeat_interleave(outputs // groups, 0)[..., None, None]

    def _pool(self, node: fx.Node, spikes: _Spikes) -> _Spikes:
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
        heights = spikes.height.amax((2, 3), keepdim=True) / pool.divisor
        size = self.body.get_submodule(str(node.target))(spikes.height).shape
        heights = (heights.flatten(1) if pool.flatten else heights).expand(size)
        self.instructions.append(Pool(node.name, spikes.name, spikes.largest, pool))
        return _Spikes(node.name, heights, largest)

    def _add(self, node: fx.Node) -> _Arriving:
        parts = [self._arriving(n) for n in node.all_input_nodes]
        if len(parts) != 2 or len(node.args) != 2 or node.kwargs:
            raise NotFixedPoint(f"{describe_node(self.body, node)} is not a plain sum of two")
        first, second = parts
        if first.shape != second.shape:
            raise NotFixedPoint(f"{describe_node(self.body, node)} adds values of other shapes")
        return _Arriving(
            first.shape,
            first.weights + second.weights,
            first.identities + second.identities,
            first.static + second.static,
        )

    def _arriving(self, node: fx.Node) -> _Arriving:
        value = self.values[node]
        if isinstance(value, _Spikes):
            return _Arriving(value.height.shape, identities=(value,))
        if isinstance(value, _Arriving):
            if len(node.users) > 1:
                raise NotFixedPoint(
                    f"the current of {describe_node(self.body, node)} is used twice"
                )
            return value
        if node in self.static and isinstance(value, Tensor):
            return _Arriving(value.shape, static=(node.name,))
        raise NotFixedPoint(f"{describe_node(self.body, node)} is added as a plain number")

    def _neuron(self, node: fx.Node) -> _Spikes:
        neuron = self.body.get_submodule(str(node.target))
        assert isinstance(neuron, Neuron)
        if neuron.dynamics.decay != 1.0 or neuron.leak is not None:
            raise NotFixedPoint(f"{describe_node(self.body, node)} leaks")
        arriving = self._arriving(node.all_input_nodes[0])
        theta = neuron.theta.detach().double()
        current = self._current(node, arriving, theta, neuron.shift.detach().double())
        whole = (_spread(theta, arriving.shape) / current.sigma).round().clamp(min=1)
        start = (_spread(neuron.start.detach().double(), arriving.shape) / current.sigma).round()
        for numbers in (whole, start):
            if numbers.abs().max() >= LIMIT:
                raise NotFixedPoint(f"{describe_node(self.body, node)} has weights too small")
        fire = Fire(
            node.name,
            current,
            _laid_out(whole).int(),
            _laid_out(start).int(),
            neuron.dynamics.reset,
        )
        self.instructions.append(fire)
        height = theta if neuron.height == "threshold" else torch.ones_like(theta)
        return _Spikes(node.name, _spread(height, arriving.shape), 1)

    def _current(self, node: fx.Node, arriving: _Arriving, theta: Tensor, shift: Tensor) -> Current:
        channels = arriving.shape[1]
        device = theta.device
        ones = torch.ones(channels, dtype=torch.float64, device=device)
        sigma = scale_of(list(arriving.weights), theta * ones, self.bits)
        constant = sum((w.bias for w in arriving.weights), shift * ones)
        summed = None
        if arriving.weights:
            summed = sum_of(list(arriving.weights), constant, sigma, self.units)
            if summed is None:
                raise NotFixedPoint(f"{describe_node(self.body, node)} sums more than 24 bits hold")
        sigma = _spread(sigma, arriving.shape)
        identities, bound = [], 0.0 if summed is None else summed.bound
        for spikes in arriving.identities:
            per_spike = (spikes.height / sigma).round()
            identities.append(Identity(spikes.name, _laid_out(per_spike).int()))
            bound += float(per_spike.abs().max()) * spikes.largest
        if bound >= LIMIT / 4:
            raise NotFixedPoint(f"{describe_node(self.body, node)} sums more than 28 bits hold")
        shift = _spread(shift if summed is None else torch.zeros_like(shift), arriving.shape)
        return Current(summed, tuple(identities), arriving.static, sigma, shift, bound)

    def _output(self, node: fx.Node) -> Output:
        source = node.args[0]
        if not isinstance(source, fx.Node):
            raise NotFixedPoint("it puts out more than one value")
        value = self.values[source]
        if isinstance(value, _Spikes):
            return Output(None, value.name, value.height)
        arriving = self._arriving(source)
        one = torch.ones((), dtype=torch.float64)
        current = self._current(source, arriving, one, torch.zeros_like(one))
        return Output(current, None, current.sigma)


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


def _spread(value: Tensor, shape: torch.Size) -> Tensor:
    """Scalar or [C] as [1, C, ...] of one image."""
    if value.ndim:
        value = value.view(1, -1, *([1] * (len(shape) - 2)))
    return value.expand(shape)


def _laid_out(x: Tensor) -> Tensor:
    """One image laid out as its spikes are: channels last."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x.contiguous()
