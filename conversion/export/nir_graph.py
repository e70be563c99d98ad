"""A converted network in the neuromorphic intermediate representation (NIR, Pedersen 2024).

Here a spike has the height θ; in NIR it has the height 1. The heights are folded into the weights
that read the spikes: W'[:, c] = W[:, c]·θ_c. Thresholds and potentials stay as they are, so that
both forms spike at the same steps. A sum over identity shortcuts becomes a Scale node.

NIR leaves the reset of IF to its reader: sinabs and snnTorch subtract the threshold (soft reset),
Norse sets the potential to 0 (hard reset).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nir
import numpy as np
import torch
from torch import Tensor, fx, nn

from network.functional import GlobalAverage
from network.graph import Kind, UnsupportedNetwork, describe_node, kind_of
from network.neurons import Neuron
from network.unroll import SpikingNetwork

Pooling = Literal["average", "sum"]


def write_nir(
    network: SpikingNetwork, shape: tuple[int, ...], path: Path, *, pooling: Pooling = "sum"
) -> None:
    """Write `nir_graph` to a file (HDF5, the format of the nir package)."""
    nir.write(path, nir_graph(network, shape, pooling=pooling))


def nir_graph(
    network: SpikingNetwork, shape: tuple[int, ...], *, pooling: Pooling = "sum"
) -> nir.NIRGraph:
    """The NIR graph of a converted network for images of `shape` [C, H, W].

    pooling: 'sum' writes average pooling as SumPool2d with its divisor folded into the weights
        behind it (sinabs, Norse), 'average' as AvgPool2d (snnTorch).
    Raises UnsupportedNetwork, naming the layer, for what NIR cannot express: start potentials,
    observation steps, concatenation, max pooling.
    """
    if pooling not in ("average", "sum"):
        raise ValueError(f"pooling must be 'average' or 'sum', got {pooling!r}")
    if network.observation is not None:
        raise UnsupportedNetwork(
            f"NIR has no observation steps, and this network spends {network.observation.steps}: "
            "export a conversion without them"
        )
    return _Writer(network.body, pooling).write(shape)


@dataclass(frozen=True)
class _Signal:
    """What a node of the graph sends on in NIR.

    names: the NIR nodes whose outputs add up to it. height: what one unit of it is worth, a scalar
    or one value per channel or feature. shape: of one image.
    """

    names: tuple[str, ...]
    height: Tensor
    shape: tuple[int, ...]


class _Writer:
    """Goes through the traced network once, node by node."""

    def __init__(self, body: fx.GraphModule, pooling: Pooling) -> None:
        self.body, self.pooling = body, pooling
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []
        self.signals: dict[fx.Node, _Signal] = {}
        self.writers: dict[Kind, Callable[[fx.Node, Any, _Signal], _Signal]] = {
            Kind.SYNAPSE: self._synapse,
            Kind.NEURON: self._neuron,
            Kind.AVERAGE_POOL: self._pool,
        }

    def write(self, shape: tuple[int, ...]) -> nir.NIRGraph:
        for node in self.body.graph.nodes:
            kind = kind_of(self.body, node)
            if kind is Kind.INPUT:
                self.nodes["input"] = nir.Input({"input": np.array(shape)})
                self.signals[node] = _Signal(("input",), torch.ones(()), shape)
            elif kind is Kind.OUTPUT:
                last = self._at_unit_height(self.signals[node.all_input_nodes[0]], "output_scale")
                self._add("output", nir.Output({"output": np.array(last.shape)}), last)
            elif kind is Kind.SUM and len(node.all_input_nodes) == 2:
                self.signals[node] = self._sum(node)
            elif kind is Kind.DROPOUT or self._calls(node, nn.Identity):
                self.signals[node] = self.signals[node.all_input_nodes[0]]
            elif self._flattens(node):
                signal = self.signals[node.all_input_nodes[0]]
                self.signals[node] = self._flatten(_name(node), signal)
            elif kind in self.writers and node.op == "call_module":
                module = self.body.get_submodule(str(node.target))
                signal = self.signals[node.all_input_nodes[0]]
                self.signals[node] = self.writers[kind](node, module, signal)
            else:
                raise UnsupportedNetwork(f"NIR cannot express {describe_node(self.body, node)}")
        return nir.NIRGraph(nodes=self.nodes, edges=self.edges)

    def _add(self, name: str, node: nir.NIRNode, signal: _Signal) -> None:
        self.nodes[name] = node
        self.edges.extend((source, name) for source in signal.names)

    def _calls(self, node: fx.Node, kind: type[nn.Module]) -> bool:
        return node.op == "call_module" and isinstance(
            self.body.get_submodule(str(node.target)), kind
        )

    def _flattens(self, node: fx.Node) -> bool:
        """Flattening of everything but the batch, as a module or as a function."""
        if self._calls(node, nn.Flatten):
            module = self.body.get_submodule(str(node.target))
            return (module.start_dim, module.end_dim) == (1, -1)
        if node.target not in (torch.flatten, "flatten"):
            return False
        named = dict(zip(("start_dim", "end_dim"), node.args[1:], strict=False)) | node.kwargs
        return (named.get("start_dim", 0), named.get("end_dim", -1)) == (1, -1)

    def _synapse(self, node: fx.Node, layer: Any, signal: _Signal) -> _Signal:
        inputs = _per_channel(signal.height, signal.shape[0])
        weight = layer.weight.detach()
        bias = torch.zeros(len(weight)) if layer.bias is None else layer.bias.detach()
        if isinstance(layer, nn.Linear) and len(signal.shape) == 1:
            shape: tuple[int, ...] = (layer.out_features,)
            written = nir.Affine(weight=_array(weight * inputs), bias=_array(bias))
        elif isinstance(layer, nn.Conv2d) and _padding(layer) is not None:
            scaled = _ungrouped(layer) * inputs.view(1, -1, 1, 1)
            shape = tuple(layer(torch.zeros(1, *signal.shape).to(weight)).shape[1:])
            written = nir.Conv2d(
                input_shape=signal.shape[1:], weight=_array(scaled), stride=layer.stride,
                padding=_padding(layer), dilation=layer.dilation, groups=1, bias=_array(bias),
            )  # fmt: skip
        else:
            raise UnsupportedNetwork(f"NIR cannot express {describe_node(self.body, node)}")
        self._add(_name(node), written, signal)
        return _Signal((_name(node),), torch.ones(()), shape)

    def _neuron(self, node: fx.Node, neuron: Neuron, signal: _Signal) -> _Signal:
        if neuron.start.any() or neuron.shift.any() or neuron.dynamics.decay != 1.0:
            raise UnsupportedNetwork(
                f"NIR's IF has no start potential, shift or leak, and {node.name} has one: "
                "export a conversion without it (data-norm, robust-norm, spike-norm, rmp, …)"
            )
        signal = self._at_unit_height(signal, f"{node.name}_scale")
        theta = neuron.theta.detach().cpu()
        places = _per_channel(theta, signal.shape[0]).view(-1, *([1] * (len(signal.shape) - 1)))
        threshold = _array(places.expand(signal.shape))
        self._add(_name(node), nir.IF(r=np.ones_like(threshold), v_threshold=threshold), signal)
        height = theta if neuron.height == "threshold" else torch.ones(())
        return _Signal((_name(node),), height, signal.shape)

    def _pool(self, node: fx.Node, module: Any, signal: _Signal) -> _Signal:
        if isinstance(module, GlobalAverage):  # a mean over the map, without its axes
            pooled = self._pool(node, nn.AdaptiveAvgPool2d(1), signal)
            return self._flatten(f"{_name(node)}_flatten", pooled)
        if isinstance(module, nn.AdaptiveAvgPool2d):
            output = module(torch.zeros(1, *signal.shape)).shape
            if any(a % b for a, b in zip(signal.shape[1:], output[2:], strict=True)):
                raise UnsupportedNetwork(f"NIR cannot express {describe_node(self.body, node)}")
            kernel = [a // b for a, b in zip(signal.shape[1:], output[2:], strict=True)]
            module = nn.AvgPool2d(tuple(kernel))
        if not isinstance(module, nn.AvgPool2d) or module.padding not in (0, (0, 0)):
            raise UnsupportedNetwork(f"NIR cannot express {describe_node(self.body, node)}")
        if module.ceil_mode:
            module = _floored(module, signal.shape, describe_node(self.body, node))
        kernel_size, stride = _pair(module.kernel_size), _pair(module.stride)
        size = np.array(kernel_size), np.array(stride), np.zeros(2, dtype=int)
        pool = nir.SumPool2d(*size) if self.pooling == "sum" else nir.AvgPool2d(*size)
        self._add(_name(node), pool, signal)
        places = kernel_size[0] * kernel_size[1]
        divisor = module.divisor_override or places
        window = divisor if self.pooling == "sum" else divisor / places
        shape = tuple(module(torch.zeros(1, *signal.shape)).shape[1:])
        return _Signal((_name(node),), signal.height / window, shape)

    def _flatten(self, name: str, signal: _Signal) -> _Signal:
        if len(signal.shape) == 1:
            return signal
        per_channel = _per_channel(signal.height, signal.shape[0])
        places = int(np.prod(signal.shape[1:]))
        input_type = {"input": np.array(signal.shape)}
        self._add(name, nir.Flatten(input_type, start_dim=0, end_dim=-1), signal)
        heights = per_channel.repeat_interleave(places)
        return _Signal((name,), heights, (signal.shape[0] * places,))

    def _sum(self, node: fx.Node) -> _Signal:
        if node.kwargs or len(node.args) != 2:
            raise UnsupportedNetwork(
                f"NIR cannot express {describe_node(self.body, node)}: it is no plain sum of two"
            )
        parts = [
            self._at_unit_height(self.signals[source], f"{node.name}_scale{index}")
            for index, source in enumerate(node.all_input_nodes)
        ]
        names = tuple(name for part in parts for name in part.names)
        return _Signal(names, torch.ones(()), parts[0].shape)

    def _at_unit_height(self, signal: _Signal, name: str) -> _Signal:
        """The signal with its height written out as a Scale node, where it is not 1."""
        if bool((signal.height == 1).all()):
            return signal
        places = _per_channel(signal.height, signal.shape[0])
        scale = places.view(-1, *([1] * (len(signal.shape) - 1))).expand(signal.shape)
        self._add(name, nir.Scale(_array(scale)), signal)
        return _Signal((name,), torch.ones(()), signal.shape)


def _floored(pool: nn.AvgPool2d, shape: tuple[int, ...], name: str) -> nn.AvgPool2d:
    """The same pooling with sizes rounded down, as NIR has them; refused where that is another."""
    floored = copy.deepcopy(pool)
    floored.ceil_mode = False
    image = torch.zeros(1, *shape)
    if floored(image).shape != pool(image).shape:
        raise UnsupportedNetwork(f"NIR rounds sizes down, which {name} does not (ceil_mode)")
    return floored


def _name(node: fx.Node) -> str:
    """The node's name, kept apart from NIR's own 'input' and 'output'."""
    return f"{node.name}_layer" if node.name in ("input", "output") else node.name


def _ungrouped(layer: nn.Conv2d) -> Tensor:
    """The weights of a grouped convolution with zeros between the groups.

    The nir package takes the second axis of a weight for the input channels, groups or not.
    """
    weight = layer.weight.detach()
    outputs, inputs = layer.out_channels // layer.groups, layer.in_channels // layer.groups
    dense = weight.new_zeros(layer.out_channels, layer.in_channels, *weight.shape[2:])
    for group in range(layer.groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        dense[rows, group * inputs : (group + 1) * inputs] = weight[rows]
    return dense


def _per_channel(value: Tensor, channels: int) -> Tensor:
    return value.expand(channels) if value.ndim == 0 else value


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _array(value: Tensor) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(value.detach().cpu().float().numpy())


def _padding(layer: nn.Conv2d) -> tuple[int, ...] | None:
    """Zeros on both sides of every axis, or None where no two equal numbers say it."""
    if layer.padding_mode != "zeros":
        return None
    if layer.padding == "valid":
        return (0, 0)
    if layer.padding != "same":
        return tuple(int(p) for p in layer.padding)
    around = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    return None if any(n % 2 for n in around) else tuple(n // 2 for n in around)
