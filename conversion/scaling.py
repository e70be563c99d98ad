"""Multiplication by a number behind a layer with weights goes into these: scores divided by 10."""

from __future__ import annotations

import torch
from torch import fx, nn

from network.affine import scale_outputs
from network.graph import NORMS, SYNAPSES, Kind, kind_of, replace_module
from network.passing import DIVISIONS, MULTIPLICATIONS, name_of
from network.reparametrised import plain_copy


@torch.no_grad()
def fold_scales(body: fx.GraphModule) -> None:
    """Take every such number into the layer or the batch norm in front of it, in place.

    Layers are copied first: the network that `body` was traced from keeps its own. What reads
    the layer beside the multiplication keeps the multiplication where it is, to be refused.
    """
    for node in list(body.graph.nodes):
        factor, source = _factor(body, node)
        if source is None or len(source.users) != 1:
            continue
        if kind_of(body, source) not in (Kind.SYNAPSE, Kind.NORM):
            continue
        layer = plain_copy(body.get_submodule(str(source.target)))
        _multiply(layer, factor)
        replace_module(body, source, layer)
        node.replace_all_uses_with(source)
        body.graph.erase_node(node)
    body.delete_all_unused_submodules()
    body.graph.lint()
    body.recompile()


def _factor(body: fx.GraphModule, node: fx.Node) -> tuple[float, fx.Node | None]:
    """The number that a node multiplies by, and what it multiplies; None for any other node."""
    if node.op not in ("call_function", "call_method") or node.kwargs or len(node.args) != 2:
        return 1.0, None
    one, other = node.args
    multiplies = name_of(body, node) in MULTIPLICATIONS
    if multiplies and _is_number(one) and isinstance(other, fx.Node):
        one, other = other, one
    if not isinstance(one, fx.Node) or not _is_number(other):
        return 1.0, None
    number = float(other)  # type: ignore[arg-type]  # a number, as asked above
    if multiplies:
        return number, one
    return (1 / number, one) if name_of(body, node) in DIVISIONS and number else (1.0, None)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _multiply(layer: nn.Module, factor: float) -> None:
    if isinstance(layer, SYNAPSES):
        scale = torch.full((len(layer.weight),), factor, dtype=torch.float64)
        scale_outputs(layer, scale, torch.zeros_like(scale))
        return
    assert isinstance(layer, NORMS)
    for name in ("weight", "bias"):
        value = getattr(layer, name)
        if value is None and name == "weight":
            value = torch.ones(layer.num_features)
        if value is not None:
            setattr(layer, name, nn.Parameter(value * factor))
