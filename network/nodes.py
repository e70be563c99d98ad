"""What a node of a traced network is worth, and which nodes no step changes."""

from __future__ import annotations

import operator
from typing import Any

from torch import fx

from network.graph import Kind, kind_of


def call_node(body: fx.GraphModule, node: fx.Node, args: Any, kwargs: Any) -> Any:
    """The value of a node that is no placeholder, for these values of its arguments."""
    if node.op == "get_attr":
        return operator.attrgetter(str(node.target))(body)
    if node.op == "call_module":
        return body.get_submodule(str(node.target))(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    return node.target(*args, **kwargs)  # type: ignore[operator]


def static_nodes(body: fx.GraphModule) -> set[fx.Node]:
    """Nodes with the same value at every step of a constant input: those before any neuron.

    Empty where a size taken there is used behind a neuron, since the leading axis differs.
    """
    static: set[fx.Node] = set()
    sizes: set[fx.Node] = set()
    for node in body.graph.nodes:
        if node.op == "output" or kind_of(body, node) is Kind.NEURON:
            continue
        if all(argument in static for argument in node.all_input_nodes):
            static.add(node)
            is_size = node.target in ("size", "dim", getattr)
            if is_size or (sizes & set(node.all_input_nodes) and _is_number(node)):
                sizes.add(node)
    escapes = any(user not in static for node in sizes for user in node.users)
    return set() if escapes else static


def _is_number(node: fx.Node) -> bool:
    return node.target in (operator.getitem, operator.floordiv, operator.mul, operator.add)
