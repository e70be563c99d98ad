"""What a conversion did to a network, and what it refuses."""

from __future__ import annotations

import operator
from dataclasses import dataclass

from torch import fx, nn

from network.functional import SATURATING, SMOOTH
from network.graph import (
    Kind,
    UnsupportedNetwork,
    calls_one_of,
    describe_node,
    kind_of,
    layers,
    reads_input,
    whereabouts,
)
from network.passing import AFFINE, DIVISIONS, instead, name_of
from network.sizes import is_size

_ADVICE: tuple[tuple[tuple[type[nn.Module], ...], str], ...] = (
    (SMOOTH,
     "an integrate-and-fire neuron computes a ReLU only: train the network with ReLU in its place"),
    (SATURATING,
     "firing rates follow a ReLU only: train the network with ReLU in its place"),
    ((nn.Softmax, nn.LogSoftmax), "let the network return the scores in front of it"),
    ((nn.MultiheadAttention,), "attention multiplies activations, which spikes cannot do"),
    ((nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm2d, nn.LocalResponseNorm),
     "its statistics depend on the image and cannot be folded: train with batch norm in its place"),
)  # fmt: skip
_GENERAL_ADVICE = "convolution, linear, batch norm, ReLU, pooling, addition and concatenation are"


@dataclass(frozen=True)
class Audit:
    """Layers by path: batch norms folded, activations replaced, layers that multiply.

    analogue: layers whose input is not made of spikes: the first of a constant input, and those
        with no neuron between them and the layer before.
    notes: sentences about what else a reader must know.
    """

    folded: tuple[str, ...]
    replaced: tuple[str, ...]
    analogue: tuple[str, ...]
    notes: tuple[str, ...] = ()


def refuse_unsupported(body: fx.GraphModule) -> None:
    """Raises UnsupportedNetwork for the first node that cannot become part of a spiking network."""
    of_images = reads_input(body)
    for node in body.graph.nodes:
        kind = kind_of(body, node)
        if kind is Kind.NEURON:
            raise UnsupportedNetwork(
                f"{describe_node(body, node)} is a spiking neuron: convert the ANN instead"
            )
        if kind is Kind.OTHER and not _is_preprocessing(body, node, of_images):
            raise UnsupportedNetwork(
                f"{describe_node(body, node)} cannot become spiking: {_advice(body, node)}"
                f"{whereabouts(node)}"
            )
    if next(layers(body, Kind.ACTIVATION), None) is None:
        raise UnsupportedNetwork(
            "the network has no ReLU, so there is nothing to replace by spiking neurons"
        )


def analogue_layers(body: fx.GraphModule, *, spiking_input: bool) -> tuple[str, ...]:
    """Paths of the layers with weights that read anything but spikes."""
    spikes: dict[fx.Node, bool] = {}
    found = []
    for node in body.graph.nodes:
        kind = kind_of(body, node)
        if kind is Kind.INPUT:
            spikes[node] = spiking_input
        elif kind in (Kind.ACTIVATION, Kind.NEURON, Kind.CONSTANT) or is_size(node):
            spikes[node] = True
        else:
            spikes[node] = all(spikes[source] for source in node.all_input_nodes)
        if kind is Kind.SYNAPSE:
            if not spikes[node]:
                found.append(str(node.meta.get("path", node.target)))
            spikes[node] = False
    return tuple(found)


def _is_preprocessing(body: fx.GraphModule, node: fx.Node, of_images: set[fx.Node]) -> bool:
    """Scaling of the image by constants, in front of all neurons, or the making of a constant."""
    if node not in of_images:
        return True
    name = name_of(body, node)
    if name not in AFFINE or not _is_in_front(body, node):
        return False
    varying = [argument for argument in node.all_input_nodes if argument in of_images]
    return len(varying) == 1 and (name not in DIVISIONS or node.args[0] is varying[0])


def _is_in_front(body: fx.GraphModule, node: fx.Node) -> bool:
    """Whether no activation comes before the node."""
    if kind_of(body, node) is Kind.ACTIVATION:
        return False
    return all(_is_in_front(body, source) for source in node.all_input_nodes)


def _advice(body: fx.GraphModule, node: fx.Node) -> str:
    for types, advice in _ADVICE:
        if calls_one_of(body, node, types):
            return advice
    advice = instead(name_of(body, node))
    if node.op == "call_module":
        name = type(body.get_submodule(str(node.target))).__name__
        return f"{name} is not among the layers that are known ({_GENERAL_ADVICE}){advice}"
    if node.target is operator.getitem:
        return "it picks images of a batch, which steps of time are run with: index the axes behind"
    name = str(getattr(node.target, "__name__", node.target)).rstrip("_")
    return f"{name} is not among the operations that are known ({_GENERAL_ADVICE}){advice}"
