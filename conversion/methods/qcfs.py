"""`qcfs`: an ANN trained with quantised, clipped and shifted activations (Bu 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from conversion.method import method
from conversion.methods.half_shift import halves
from conversion.source import Balance, Source
from network.copying import copied
from network.graph import Kind, Quantised, layers, swap_activations, trace

LEVELS = 8
START = 2.0  # of λ; higher, an ANN of few epochs leans on the coarse levels below the values it has


class _Floor(torch.autograd.Function):
    """⌊x⌋ with the slope 1."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        del ctx
        return x.floor()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        del ctx
        return gradient


class QuantisedReLU(Quantised):
    """a = λ · clip(⌊z·L/λ + ½⌋/L, 0, 1), Bu 2022, eq. 15; ⌊·⌋ has the slope 1 in training.

    levels: L, the number of steps above 0. threshold: λ, trained.
    """

    def __init__(self, levels: int, threshold: float = START) -> None:
        super().__init__()
        if levels < 1:
            raise ValueError(f"levels must be at least 1, got {levels}")
        if not threshold > 0:
            raise ValueError(f"the threshold must start above 0, got {threshold}")
        self.levels = levels
        self.threshold = nn.Parameter(torch.tensor(threshold))

    def forward(self, x: Tensor) -> Tensor:
        share = (x / self.threshold).clamp(0.0, 1.0)
        scaled = share * self.levels + 0.5
        steps: Tensor = _Floor.apply(scaled)
        return self.threshold * steps / self.levels

    def extra_repr(self) -> str:
        return f"levels={self.levels}, threshold={self.threshold.item():.4g}"


def quantise_activations(model: nn.Module, levels: int = LEVELS, start: float = START) -> nn.Module:
    """A copy of the network with every ReLU a `QuantisedReLU`, to be trained and then converted.

    start: of every λ; about the size of large activations, 2 to 4 behind batch norm.
    Raises UnsupportedNetwork where it cannot be traced.
    """
    body = trace(copied(model).train())
    swap_activations(body, lambda name, activation: QuantisedReLU(levels, float(start)))
    return body


@method(
    "qcfs",
    summary="threshold = trained scale of the quantised activation, start at half of it",
    source="Bu 2022, section 4",
    calibration_images=1,
    ann="qcfs",
)
def qcfs(source: Source) -> Balance:
    """θ_l = λ_l, v₀ = θ/2: exact in the first layer at T = L."""
    theta = trained_scales(source)
    return Balance(theta, start=halves(theta))


def trained_scales(source: Source) -> dict[str, Tensor]:
    """λ of every layer."""
    scales = {}
    for node, activation in layers(source.body, Kind.ACTIVATION):
        assert isinstance(activation, Quantised)
        scales[node.name] = activation.threshold.detach()
    return source.settle(scales)[0]
