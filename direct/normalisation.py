"""Threshold-dependent batch norm, tdBN (Zheng 2021, equations 5 to 10).

    x̂ = αθ·(x − E[x]) / √(Var[x] + ε),   y = λx̂ + β,   statistics over T, B, H and W

α = 1, and 1/√n on each of the n branches of a sum in front of a neuron (residual block: 1/√2), so
that the sum starts as N(0, θ²). λ starts at 1, β at 0. For inference it is folded into the layer
before it.
"""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from direct.editing import insert_after, leads_to
from network.affine import affine, scale_outputs
from network.graph import (
    SYNAPSES,
    Kind,
    UnsupportedNetwork,
    describe_node,
    free_target,
    kind_of,
    layers,
    replace_module,
)


class ThresholdNorm(_BatchNorm):
    """tdBN of [T·B, C, ...]; gain = αθ.

    linear: the linear layer that it stands behind, in words, or None. It can be folded into one
    only where its channels are the layer's features, [T·B, F]; other inputs are refused.
    """

    def __init__(self, channels: int, gain: float) -> None:
        super().__init__(channels)
        self.gain = gain
        self.linear: str | None = None

    @property
    def scale(self) -> Tensor:
        """What x̂ is multiplied by, λαθ."""
        return self.weight * self.gain

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        if self.linear is not None and input.ndim != 2:
            raise UnsupportedNetwork(
                f"threshold-dependent batch norm behind {self.linear} takes features [B, F], "
                f"got {input.ndim} axes: flatten in front of it, or train with bptt"
            )
        return F.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.scale,
            self.bias,
            self.training,
            self.momentum or 0.1,
            self.eps,
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, gain={self.gain:.4g}"


class ThresholdNorm1d(ThresholdNorm, nn.BatchNorm1d):
    """tdBN of [T·B, F]."""


class ThresholdNorm2d(ThresholdNorm, nn.BatchNorm2d):
    """tdBN of [T·B, C, H, W]."""


class ThresholdNorm3d(ThresholdNorm, nn.BatchNorm3d):
    """tdBN of [T·B, C, D, H, W]."""


NORM_OF: tuple[tuple[type[nn.Module], type[nn.Module], type[ThresholdNorm]], ...] = (
    (nn.BatchNorm1d, nn.Linear, ThresholdNorm1d),
    (nn.BatchNorm2d, nn.Conv2d, ThresholdNorm2d),
    (nn.BatchNorm3d, nn.Conv3d, ThresholdNorm3d),
    (nn.BatchNorm1d, nn.Conv1d, ThresholdNorm1d),
)


def install_threshold_norm(body: fx.GraphModule, theta: float, alpha: float) -> list[str]:
    """tdBN behind every synaptic layer that feeds neurons, and on every shortcut; their node names.

    It takes the place of batch norm where there is one. Spikes that an identity shortcut brings to
    a sum are normalised as well (Zheng 2021, fig. 5b).
    """
    places = [node for node, _ in layers(body, Kind.NORM)]
    for node, layer in list(layers(body, Kind.SYNAPSE)):
        feeds = leads_to(body, node, Kind.NEURON) or leads_to(body, node, Kind.ACTIVATION)
        if feeds and not leads_to(body, node, Kind.NORM):
            assert isinstance(layer, SYNAPSES)
            norm = _like(layer, layer.weight.shape[0], theta)
            places.append(insert_after(body, node, f"{node.name}_tdbn", norm))
    shares = dict.fromkeys(places, alpha)
    sums = _sums(body)
    for branches in sums:
        for _, branch in branches:
            if (origin := _origin(body, branch)) in shares:
                shares[origin] = alpha / math.sqrt(len(branches))
    for node, share in shares.items():
        old = body.get_submodule(str(node.target))
        assert isinstance(old, _BatchNorm)
        norm = _like(old, old.num_features, share * theta)
        norm.linear = _linear_before(body, node)
        replace_module(body, node, norm)
    for branches in sums:
        places += _on_shortcuts(body, branches, alpha / math.sqrt(len(branches)) * theta)
    body.delete_all_unused_submodules()
    body.recompile()
    return [node.name for node in places]


Branch = tuple[fx.Node, fx.Node]  # the sum that reads it, and what it reads


def _sums(body: fx.GraphModule) -> list[list[Branch]]:
    """The branches of every sum; sums of sums that nothing else reads are one."""
    branches: dict[fx.Node, list[Branch]] = {}
    for node in body.graph.nodes:
        if kind_of(body, node) is not Kind.SUM:
            continue
        branches[node] = []
        for branch in node.all_input_nodes:
            inner = _origin(body, branch)
            if inner in branches and len(inner.users) == len(branch.users) == 1:
                branches[node] += branches.pop(inner)
            else:
                branches[node].append((node, branch))
    return list(branches.values())


def _on_shortcuts(body: fx.GraphModule, branches: list[Branch], gain: float) -> list[fx.Node]:
    """A tdBN on every branch of a sum that brings spikes, where another brings a norm's output."""
    origins = [_origin(body, branch) for _, branch in branches]
    norms = [
        body.get_submodule(str(origin.target))
        for origin in origins
        if kind_of(body, origin) is Kind.NORM
    ]
    if not norms:
        return []
    beside = norms[0]
    assert isinstance(beside, ThresholdNorm)
    added = []
    for (total, branch), origin in zip(branches, origins, strict=True):
        if kind_of(body, origin) in (Kind.NEURON, Kind.ACTIVATION):
            name = f"{total.name}_{branch.name}_tdbn"
            target = free_target(body, name)
            body.add_submodule(target, _like(beside, beside.num_features, gain))
            with body.graph.inserting_before(total):
                norm = body.graph.create_node("call_module", target, (branch,), name=name)
            total.replace_input_with(branch, norm)
            added.append(norm)
    return added


def _origin(body: fx.GraphModule, node: fx.Node) -> fx.Node:
    """What a value comes from, behind dropout, reshaping and pooling."""
    while kind_of(body, node) in (Kind.DROPOUT, Kind.SHAPE, Kind.AVERAGE_POOL, Kind.MAX_POOL):
        node = node.all_input_nodes[0]
    return node


def _linear_before(body: fx.GraphModule, norm: fx.Node) -> str | None:
    """The linear layer whose output a norm reads, in words."""
    source = norm.all_input_nodes[0]
    if kind_of(body, source) is not Kind.SYNAPSE:
        return None
    is_linear = isinstance(body.get_submodule(str(source.target)), nn.Linear)
    return describe_node(body, source) if is_linear else None


def _like(layer: nn.Module, channels: int, gain: float) -> ThresholdNorm:
    """The norm of as many dimensions as a batch norm or a synaptic layer has."""
    kind = next(kind for *alike, kind in NORM_OF if isinstance(layer, tuple(alike)))
    return kind(channels, gain)


@torch.no_grad()
def fold_threshold_norm(body: fx.GraphModule) -> list[str]:
    """Fold every tdBN that follows a synaptic layer of its own (eqs. 9, 10); the layers' names.

    W′ = λαθ·W/√(σ² + ε),   b′ = λαθ·(b − μ)/√(σ² + ε) + β, with the running μ and σ².
    """
    folded = []
    for node, norm in list(layers(body, Kind.NORM)):
        source = node.args[0]
        if not isinstance(norm, ThresholdNorm):
            continue
        assert isinstance(source, fx.Node)
        if kind_of(body, source) is not Kind.SYNAPSE or len(source.users) > 1:
            continue
        layer = copy.deepcopy(body.get_submodule(str(source.target)))
        # a copy: other calls of the layer, and the user's own model, keep theirs
        scale_outputs(layer, *affine(norm, node.name))
        replace_module(body, source, layer)
        node.replace_all_uses_with(source)
        body.graph.erase_node(node)
        folded.append(source.name)
    body.delete_all_unused_submodules()
    body.recompile()
    return folded
