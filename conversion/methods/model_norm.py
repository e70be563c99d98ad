"""`model-norm`: thresholds that no input can exceed (Diehl 2015, 'model-based normalization')."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn

from conversion.method import method
from conversion.source import Balance, Source, bound_of
from network.encodings import ENCODINGS
from network.graph import SYNAPSES, Kind, kind_of, reads_input


@method(
    "model-norm",
    summary="threshold = largest current that the weights allow",
    source="Diehl 2015, algorithm 1",
    calibration_images=100,
)
def model_norm(source: Source) -> Balance:
    """θ_l = max over neurons of Σ max(w, 0)·θ_{l−1} + b, layer by layer.

    The images give the range of the pixels only, and Poisson spikes have one of their own: 0 or 1,
    −1 to 1 where they are signed. Pixels may be negative, which the paper's are not: a negative
    weight then counts with the smallest pixel. Biases are the paper's one omission
    (its networks have none).
    """
    low, high = ENCODINGS.get(source.encoding).span or (
        min(float(images.min()) for images in source.batches),
        max(float(images.max()) for images in source.batches),
    )
    ranges = _Ranges(source.body)
    ranges.run(torch.stack([torch.full_like(source.batches[0][0], x) for x in (low, high)]))
    settled, notes = source.settle(ranges.theta)
    return Balance(settled, notes=notes)


class _Ranges(fx.Interpreter):
    """Interval arithmetic over the graph: values are [2, ...], the lower and the upper bound."""

    def __init__(self, body: fx.GraphModule) -> None:
        super().__init__(body)
        self.body, self.of_images = body, reads_input(body)
        self.theta: dict[str, Tensor] = {}

    @torch.no_grad()
    def run_node(self, n: fx.Node) -> Any:
        kind = kind_of(self.body, n)
        if kind is Kind.SYNAPSE:
            return _interval(self.fetch_attr(str(n.target)), self.env[n.all_input_nodes[0]])
        value = self._difference(n) if _subtracts(n) else super().run_node(n)
        if kind in (Kind.OTHER, Kind.SUM) and n in self.of_images:  # scaling may reverse the range
            value = torch.stack([value.amin(0), value.amax(0)])
        if kind is Kind.ACTIVATION:
            bound = bound_of(self.body.get_submodule(str(n.target)))
            theta = value[1].max()
            self.theta[n.name] = theta if bound is None else theta.clamp(max=bound)
            value = torch.stack(
                [torch.zeros_like(value[0]), self.theta[n.name].expand_as(value[1])]
            )
        return value

    def _difference(self, n: fx.Node) -> Tensor:
        """u + αv with α < 0: the largest where u is largest and v smallest."""
        (u, v), factors = self.fetch_args_kwargs_from_env(n)
        if n.all_input_nodes[1] in self.of_images:
            v = v.flip(0)
        return torch.add(u, v, **factors)


def _subtracts(n: fx.Node) -> bool:
    factor = n.kwargs.get("alpha", 1)
    return isinstance(factor, int | float) and factor < 0 and len(n.all_input_nodes) == 2


def _interval(layer: nn.Module, bounds: Tensor) -> Tensor:
    """Bounds [2, ...] of a layer's output for inputs within bounds [2, ...]."""
    assert isinstance(layer, SYNAPSES)
    positive, negative = copy.deepcopy(layer), copy.deepcopy(layer)
    positive.weight.clamp_(min=0.0)
    negative.weight.clamp_(max=0.0)
    negative.bias = None
    result: Tensor = positive(bounds) + negative(bounds.flip(0))
    return result
