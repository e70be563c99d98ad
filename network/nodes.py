"""What a node of a traced network is worth, and which nodes no step changes."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from network.graph import Kind, kind_of, layers
from network.sizes import holds_number_of_images


def call_node(body: fx.GraphModule, node: fx.Node, args: Any, kwargs: Any) -> Any:
    """The value of a node that is no placeholder, for these values of its arguments."""
    if node.op == "get_attr":
        return operator.attrgetter(str(node.target))(body)
    if node.op == "call_module":
        return body.get_submodule(str(node.target))(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    return node.target(*args, **kwargs)  # type: ignore[operator]


def constant_nodes(body: fx.GraphModule) -> set[fx.Node]:
    """Nodes with the same value at every step of a constant input: those before any neuron."""
    constant: set[fx.Node] = set()
    for node in body.graph.nodes:
        if node.op == "output" or kind_of(body, node) is Kind.NEURON:
            continue
        if all(argument in constant for argument in node.all_input_nodes):
            constant.add(node)
    return constant


def static_nodes(body: fx.GraphModule) -> set[fx.Node]:
    """Those of the constant nodes that can be computed once.

    None where the number of images there is used behind a neuron: the leading axis is longer.
    """
    static = constant_nodes(body)
    counts = [node for node in static if holds_number_of_images(node)]
    return set() if any(user not in static for node in counts for user in node.users) else static


def owners_of_currents(body: fx.GraphModule, static: set[fx.Node]) -> set[fx.Node]:
    """Neurons whose current is made anew at every step, and seen by nobody else: no other node, no
    hook. Sums in place are left out, since their result is one of what they read."""
    owners: set[fx.Node] = set()
    for node, _ in layers(body, Kind.NEURON):
        source = node.all_input_nodes[0]
        if source in static or len(source.users) > 1:
            continue
        if source.op == "call_module":
            fresh = kind_of(body, source) in (Kind.SYNAPSE, Kind.NORM)
            seen = bool(body.get_submodule(str(source.target))._forward_hooks)
            if fresh and not seen:
                owners.add(node)
        elif source.target in (operator.add, torch.add, "add"):
            owners.add(node)
    return owners
