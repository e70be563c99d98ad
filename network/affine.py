"""What a batch norm is at inference, x·scale + shift, and how a layer takes it into its weights."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from network.graph import NORMS, SYNAPSES, UnsupportedNetwork
from network.reparametrised import without_reparametrisation


@runtime_checkable
class Scaled(Protocol):
    """A norm that multiplies x̂ by something else than its weight alone (tdBN: λαθ)."""

    @property
    def scale(self) -> Tensor: ...


def affine(norm: nn.Module, name: str) -> tuple[Tensor, Tensor]:
    """(scale, shift) [C] in float64 of what a norm does at inference: x·scale + shift."""
    assert isinstance(norm, NORMS)
    if norm.running_mean is None or norm.running_var is None:
        raise UnsupportedNetwork(
            f"{name} keeps no running statistics (track_running_stats=False): "
            "train it with them, or replace it by a norm that does"
        )
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    gain = norm.scale if isinstance(norm, Scaled) else norm.weight
    if gain is not None:
        scale = scale * gain.double()
    shift = -norm.running_mean.double() * scale
    if norm.bias is not None:
        shift = shift + norm.bias.double()
    return scale, shift


@torch.no_grad()
def scale_outputs(layer: nn.Module, scale: Tensor, shift: Tensor) -> None:
    """Make `layer` put out scale·(what it put out) + shift, per output channel."""
    without_reparametrisation(layer)
    assert isinstance(layer, SYNAPSES)
    weight = layer.weight
    kind = weight.dtype
    shaped = scale.view(-1, *([1] * (weight.ndim - 1)))
    bias = shift if layer.bias is None else layer.bias.double() * scale + shift
    layer.weight = nn.Parameter((weight.double() * shaped).to(kind))
    layer.bias = nn.Parameter(bias.to(kind))
