"""What a constant input makes of the layers in front of the first neurons: once, in float64.

Pixels are rounded to b bits of the image's largest and weights to b bits of their layer's largest,
with b as large as lets float64 hold the sum of all products of one output (24 bits for 27 of them,
21 for 2,048). The sum is then exact: it does not depend on the order, hence not on batch, threads
or machine.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, fx, nn

from network.graph import SYNAPSES, Kind, kind_of
from network.layout import channels_last

_MANTISSA = 53  # bits of a float64


def static_values(
    body: fx.GraphModule, static: Collection[fx.Node], images: Tensor
) -> dict[str, Tensor]:
    """Values of the static nodes for images [B, C, H, W], by node name."""
    interpreter = _Static(body, static)
    interpreter.run(channels_last(images.double()))
    return interpreter.found


class _Static(fx.Interpreter):
    def __init__(self, body: fx.GraphModule, static: Collection[fx.Node]) -> None:
        super().__init__(body, garbage_collect_values=False)
        self.body = body
        self.static = static
        self.found: dict[str, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        if n not in self.static:
            return None
        if kind_of(self.body, n) is Kind.SYNAPSE:
            args, _ = self.fetch_args_kwargs_from_env(n)
            value = _synapse(self.body.get_submodule(str(n.target)), args[0])
        else:
            value = super().run_node(n)
        self.found[n.name] = value
        return value


def _synapse(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, SYNAPSES)
    exact = copy.deepcopy(layer).double()
    bits = exact_bits(exact.weight[0].numel())
    exact.weight = nn.Parameter(round_to_bits(exact.weight, exact.weight.ndim, bits), False)
    bias, exact.bias = exact.bias, None
    result: Tensor = exact(round_to_bits(x, x.ndim - 1, bits))
    if bias is None:
        return result
    if isinstance(layer, nn.Linear) or result.ndim == 2:  # its outputs are the last axis
        return result + bias
    return result + bias.view(-1, *([1] * (result.ndim - 2)))


def exact_bits(products: int) -> int:
    """b with products · 2^b · 2^b ≤ 2⁵³."""
    return (_MANTISSA - math.ceil(math.log2(products))) // 2


def round_to_bits(x: Tensor, axes: int, bits: int) -> Tensor:
    """x rounded to multiples of 2^−bits times the power of two above its largest magnitude.

    The magnitude is taken over the last `axes` axes.
    """
    over = tuple(range(x.ndim - axes, x.ndim))
    _, exponent = torch.frexp(x.abs().amax(over, keepdim=True))
    grid = torch.ldexp(torch.ones_like(exponent, dtype=x.dtype), exponent - bits)
    return (x / grid).round_().mul_(grid)
