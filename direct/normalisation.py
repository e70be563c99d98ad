"""Threshold-dependent batch norm, tdBN (Zheng 2021, equations 5 to 10).

    x̂ = αθ·(x − E[x]) / √(Var[x] + ε),   y = λx̂ + β,   statistics over T, B, H and W

α = 1, and 1/√2 on both branches in front of the last neuron of a residual block, so that their sum
starts as N(0, θ²). λ starts at 1, β at 0. For inference it is folded into the layer before it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from direct.editing import insert_after, leads_to
from network.graph import Kind, kind_of, layers, replace_module


class ThresholdNorm2d(nn.BatchNorm2d):
    """tdBN of [T·B, C, H, W]; gain = αθ."""

    def __init__(self, channels: int, gain: float) -> None:
        super().__init__(channels)
        self.gain = gain

    @property
    def scale(self) -> Tensor:
        """What x̂ is multiplied by, λαθ."""
        return self.weight * self.gain

    def forward(self, input: Tensor) -> Tensor:
        return _normalised(self, input, self.scale)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, gain={self.gain:.4g}"


class ThresholdNorm1d(nn.BatchNorm1d):
    """tdBN of [T·B, F]; gain = αθ."""

    def __init__(self, channels: int, gain: float) -> None:
        super().__init__(channels)
        self.gain = gain

    @property
    def scale(self) -> Tensor:
        """What x̂ is multiplied by, λαθ."""
        return self.weight * self.gain

    def forward(self, input: Tensor) -> Tensor:
        return _normalised(self, input, self.scale)


def _normalised(norm: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor, scale: Tensor) -> Tensor:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return F.batch_norm(
        x,
        norm.running_mean,
        norm.running_var,
        scale,
        norm.bias,
        norm.training,
        norm.momentum or 0.1,
        norm.eps,
    )


def install_threshold_norm(body: fx.GraphModule, theta: float, alpha: float) -> list[str]:
    """Put tdBN in the place of every batch norm; their node names.

    A network without batch norm gets one behind every synaptic layer that feeds neurons.
    """
    places = [node for node, _ in layers(body, Kind.NORM)]
    if not places:
        for node, layer in list(layers(body, Kind.SYNAPSE)):
            if leads_to(body, node, Kind.NEURON) or leads_to(body, node, Kind.ACTIVATION):
                channels = layer.get_parameter("weight").shape[0]
                norm = _make(isinstance(layer, nn.Linear), channels, theta)
                places.append(insert_after(body, node, f"{node.name}_tdbn", norm))
    for node in places:
        old = body.get_submodule(str(node.target))
        share = alpha / math.sqrt(2.0) if leads_to(body, node, Kind.SUM) else alpha
        flat = isinstance(old, nn.BatchNorm1d)
        replace_module(body, node, _make(flat, len(old.get_parameter("weight")), share * theta))
    body.delete_all_unused_submodules()
    body.recompile()
    return [node.name for node in places]


def _make(flat: bool, channels: int, gain: float) -> ThresholdNorm1d | ThresholdNorm2d:
    return (ThresholdNorm1d if flat else ThresholdNorm2d)(channels, gain)


@torch.no_grad()
def fold_threshold_norm(body: fx.GraphModule) -> list[str]:
    """Fold every tdBN that follows a synaptic layer of its own (eqs. 9, 10); the layers' names.

    W′ = λαθ·W/√(σ² + ε),   b′ = λαθ·(b − μ)/√(σ² + ε) + β, with the running μ and σ².
    """
    folded = []
    for node, norm in list(layers(body, Kind.NORM)):
        source = node.args[0]
        if not isinstance(norm, ThresholdNorm1d | ThresholdNorm2d):
            continue
        assert isinstance(source, fx.Node)
        if kind_of(body, source) is not Kind.SYNAPSE or len(source.users) > 1:
            continue
        layer = body.get_submodule(str(source.target))
        _fold_into(layer, norm)
        node.replace_all_uses_with(source)
        body.graph.erase_node(node)
        folded.append(source.name)
    body.delete_all_unused_submodules()
    body.recompile()
    return folded


def _fold_into(layer: nn.Module, norm: ThresholdNorm1d | ThresholdNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight = layer.get_parameter("weight")
    scale = norm.gain * norm.weight * (norm.running_var + norm.eps).rsqrt()
    bias = layer._parameters.get("bias")
    before = torch.zeros_like(norm.running_mean) if bias is None else bias
    shifted = scale * (before - norm.running_mean) + norm.bias
    weight.mul_(scale.view(-1, *([1] * (weight.ndim - 1))))
    layer.register_parameter("bias", nn.Parameter(shifted.clone()))
