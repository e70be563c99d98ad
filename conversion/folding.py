"""Batch norm folded into the layer in front of it.

With running mean μ and variance σ², scale γ and shift β of the norm (Rueckauer 2017, eq. 11;
Zheng 2021, eqs. 9 and 10)::

    W' = W · γ/√(σ² + ε)        b' = (b − μ) · γ/√(σ² + ε) + β

Max pooling between the two is no obstacle where every scale is positive: max(s·z + b) is
s·max(z) + b then. A norm with no convolution or linear layer in front of it (DenseNet) becomes a
synapse of its own: a depthwise 1×1 convolution, one weight per channel.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn

from network.affine import affine, scale_outputs
from network.functional import GlobalAverage, GlobalMax, Mean
from network.graph import (
    NORMS,
    SYNAPSES,
    Kind,
    describe_node,
    kind_of,
    layers,
    replace_module,
)
from network.reparametrised import plain_copy
from network.rewriting import keep_images


class PerFeature(nn.Conv1d):
    """One weight and one bias per feature, x [B, F] to [B, F]: batch norm behind nothing."""

    def __init__(self, features: int) -> None:
        super().__init__(features, features, 1, groups=features)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim == 3:
            return super().forward(input)
        return super().forward(input.unsqueeze(-1)).squeeze(-1)


@torch.no_grad()
def fold(body: fx.GraphModule) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Fold every batch norm of a traced network in place.

    Returns the paths of the norms that went into the layer in front of them, in order of execution,
    and notes: norms that have none to go into and became layers of their own, with one weight per
    channel, and layers that are computed (and counted) twice, since not only their norm reads them.
    Layers that are called more than once, or shared with the network that `body` was traced from,
    are copied first. Raises UnsupportedNetwork for a norm without running statistics.
    """
    folded: list[str] = []
    notes: list[str] = []
    given = set(body.graph.nodes)
    for node, norm in list(layers(body, Kind.NORM)):
        assert isinstance(norm, NORMS)
        scale, shift = affine(norm, describe_node(body, node))
        synapse = _synapse_before(body, node, rising=bool((scale > 0).all()))
        if synapse is None:
            notes.append(f"{node.target}: batch norm with no layer to go into, now one of its own")
            replace_module(body, node, _diagonal(norm, scale, shift))
            continue
        folded.append(str(node.target))
        if synapse not in given:
            notes.append(f"{synapse.target}: computed twice, with {node.target} in it and without")
        layer = plain_copy(body.get_submodule(str(synapse.target)))
        assert isinstance(layer, SYNAPSES)
        scale_outputs(layer, scale, shift)
        replace_module(body, synapse, layer)
        node.replace_all_uses_with(_argument(node))
        body.graph.erase_node(node)
    body.delete_all_unused_submodules()
    body.graph.lint()
    body.recompile()
    return tuple(folded), tuple(notes)


def _argument(node: fx.Node) -> fx.Node:
    argument = node.args[0] if node.args else next(iter(node.kwargs.values()))
    assert isinstance(argument, fx.Node)
    return argument


def _synapse_before(body: fx.GraphModule, node: fx.Node, *, rising: bool) -> fx.Node | None:
    """The call of the layer that a norm can be folded into; others read a copy of their own.

    rising: whether the norm keeps the order of values, and so the place of a maximum.
    """
    source = _argument(node)
    while len(source.users) == 1 and _is_transparent(body, source, rising=rising):
        source = _argument(source)
    if kind_of(body, source) is not Kind.SYNAPSE or not _has_its_channels(body, node, source):
        return None
    if len(source.users) == 1:
        return source
    if source is not _argument(node):
        return None
    with body.graph.inserting_after(source):
        twin = body.graph.node_copy(source)
    node.replace_input_with(source, twin)
    return twin


def _has_its_channels(body: fx.GraphModule, node: fx.Node, source: fx.Node) -> bool:
    """Whether a norm's channels are the layer's outputs: behind a linear layer on [B, N, F] they
    are N, and so they may be where the axes are not seen."""
    norm, layer = (body.get_submodule(str(n.target)) for n in (node, source))
    assert isinstance(norm, NORMS)
    assert isinstance(layer, SYNAPSES)
    if isinstance(layer, nn.Linear) and (
        not isinstance(norm, nn.BatchNorm1d) or _axes(body, source) in (3, None)
    ):
        return False
    return norm.num_features == layer.weight.shape[0]


_AXES: dict[int, tuple[type[nn.Module], ...]] = {
    2: (GlobalAverage, GlobalMax),
    3: (nn.Conv1d, nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveAvgPool1d),
    4: (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d),
    5: (nn.Conv3d, nn.BatchNorm3d),
}

_SAME_AXES = {
    operator.add, operator.iadd, operator.mul, operator.truediv, torch.add, torch.permute,
    torch.transpose, torch.cat, "add", "permute", "transpose", "contiguous", "clone",
}  # fmt: skip


def _axes(body: fx.GraphModule, node: fx.Node) -> int | None:
    """How many axes a value has where the input is images [B, C, H, W]; None where that is not
    seen in the graph."""
    if node.op == "placeholder":
        return 4
    if node.target in ("reshape", torch.reshape):
        sizes = node.args[1:]
        return len(sizes[0]) if isinstance(sizes[0], list | tuple) else len(sizes)
    if node.target is keep_images:
        return len(node.args)
    module = body.get_submodule(str(node.target)) if node.op == "call_module" else None
    known = next((axes for axes, kinds in _AXES.items() if isinstance(module, kinds)), None)
    if known is not None or not node.all_input_nodes:
        return known
    source = node.all_input_nodes[0]
    if isinstance(module, Mean) and not module.keepdim:
        axes = _axes(body, source)
        return None if axes is None else axes - len(module.axes)
    if isinstance(module, nn.Flatten):
        return _flattened(body, source, module.start_dim, module.end_dim)
    if node.target in ("flatten", torch.flatten):
        given: dict[str, Any] = dict(zip(("start_dim", "end_dim"), node.args[1:], strict=False))
        given |= node.kwargs
        return _flattened(body, source, given.get("start_dim", 0), given.get("end_dim", -1))
    follows = module is not None or node.target in _SAME_AXES
    return _axes(body, source) if follows else None


def _flattened(body: fx.GraphModule, source: fx.Node, start: int, end: int) -> int | None:
    """How many axes are left when those from start to end become one."""
    if (start, end) == (1, -1):
        return 2
    axes = _axes(body, source)
    return None if axes is None else axes - (end % axes - start % axes)


def _is_transparent(body: fx.GraphModule, node: fx.Node, *, rising: bool) -> bool:
    """Dropout and identity, which change nothing at inference; max pooling where order is kept."""
    kind = kind_of(body, node)
    if kind is Kind.DROPOUT or (rising and kind is Kind.MAX_POOL):
        return True
    return node.op == "call_module" and isinstance(
        body.get_submodule(str(node.target)), nn.Identity
    )


def _diagonal(norm: nn.Module, scale: Tensor, shift: Tensor) -> nn.Module:
    """A norm as a synapse with one weight per channel."""
    assert isinstance(norm, NORMS)
    assert norm.running_mean is not None
    channels = scale.numel()
    layer: nn.Conv1d | nn.Conv2d | nn.Conv3d
    with torch.random.fork_rng(devices=[]):  # first weights are drawn, and not used
        if isinstance(norm, nn.BatchNorm1d):
            layer = PerFeature(channels)
        elif isinstance(norm, nn.BatchNorm2d):
            layer = nn.Conv2d(channels, channels, 1, groups=channels)
        else:
            layer = nn.Conv3d(channels, channels, 1, groups=channels)
    kind, device = norm.running_mean.dtype, norm.running_mean.device
    layer = layer.to(device=device, dtype=kind)
    layer.weight.copy_(scale.view_as(layer.weight[:, 0]).unsqueeze(1).to(kind))
    assert layer.bias is not None
    layer.bias.copy_(shift.to(kind))
    return layer
