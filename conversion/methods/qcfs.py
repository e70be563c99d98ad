"""`qcfs`: an ANN trained with quantised, clipped and shifted activations (Bu 2022)."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion.method import method
from conversion.methods.calibration import with_corrected_biases
from conversion.methods.half_shift import halves
from conversion.source import Balance, Source
from network.copying import copied
from network.fused.levels import Noise, Quantise
from network.graph import Kind, Quantised, layers, swap_activations, trace
from network.observation import delayed
from network.over_batch import first_image, leading_images
from network.recipe import training_progress

LEVELS = 8
START = 2.0  # of λ; higher, an ANN of few epochs leans on the coarse levels below the values it has
PERCENTILE = 97.0  # of what a ReLU puts out, for λ where a training begins with ReLUs
WATCHED = 2**15  # values of a batch, at least, that the percentile is taken of
MEMORY = 0.95  # share of λ that stays as it was at every such batch


class _WithoutEffect(torch.autograd.Function):
    """x, on which λ has no effect; but processes that share a batch want a gradient, 0."""

    @staticmethod
    def forward(ctx, x: Tensor, threshold: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(threshold)
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]
        (threshold,) = ctx.saved_tensors
        return gradient, torch.zeros_like(threshold)


class QuantisedReLU(Quantised):
    """a = λ · clip(⌊z·L/λ + ½⌋/L, 0, 1), Bu 2022, eq. 15; ⌊·⌋ has the slope 1 in training.

    levels: L, the number of steps above 0. threshold: λ, trained.
    relu_share: a training's first share in which it is a ReLU still, and λ follows the percentile
        of what it puts out (a running mean over the batches).
    noise: in training, a·L/λ is rounded after a number from ±noise/2 is added to it: spikes come
        unevenly, and so many that a neuron sends are one more or one less (Li 2024, Noise Adaptor).
    learning_share: rate at which λ is learned, as a share of that of the weights.
    """

    def __init__(
        self,
        levels: int,
        threshold: float = START,
        *,
        relu_share: float = 0.0,
        percentile: float = PERCENTILE,
        noise: float = 0.0,
        learning_share: float = 1.0,
    ) -> None:
        super().__init__()
        if levels < 1:
            raise ValueError(f"levels must be at least 1, got {levels}")
        if not threshold > 0:
            raise ValueError(f"the threshold must start above 0, got {threshold}")
        if not 0 <= relu_share < 1:
            raise ValueError(f"relu_share must be at least 0 and below 1, got {relu_share}")
        if not 0 < percentile <= 100:
            raise ValueError(f"percentile must be above 0 and at most 100, got {percentile}")
        if not 0 <= noise <= 1:
            raise ValueError(f"noise must be at least 0 and at most 1, got {noise}")
        if not learning_share >= 0:
            raise ValueError(f"scale_rate must be at least 0, got {learning_share}")
        self.levels, self.relu_share, self.percentile = levels, relu_share, percentile
        self.noise, self.learning_share = noise, learning_share
        self.threshold = nn.Parameter(torch.tensor(threshold))

    def forward(self, x: Tensor) -> Tensor:
        if training_progress() >= self.relu_share:
            noise = None
            if self.training and self.noise:
                first = first_image(x) * x[0].numel()
                noise = Noise(self.noise, int(torch.randint(2**31, ())), first)
            quantised: Tensor = Quantise.apply(x, self.threshold, self.levels, noise)
            return quantised
        rectified = F.relu(x)
        if self.training:
            self._follow(rectified.detach())
        attached: Tensor = _WithoutEffect.apply(rectified, self.threshold)
        return attached

    @torch.no_grad()
    def _follow(self, rectified: Tensor) -> None:
        """λ moves towards the percentile of some images' activations, where there are any."""
        images = max(1, WATCHED // rectified[0].numel())
        some = leading_images(rectified, images).flatten().float()
        rank = max(1, math.ceil(len(some) * self.percentile / 100))
        high = some.kthvalue(rank).values
        self.threshold.copy_(
            torch.where(high > 0, high.lerp(self.threshold, MEMORY), self.threshold)
        )

    def extra_repr(self) -> str:
        return f"levels={self.levels}, threshold={self.threshold.item():.4g}"


def quantise_activations(
    model: nn.Module,
    levels: int = LEVELS,
    start: float = START,
    relu_share: float = 0.0,
    percentile: float = PERCENTILE,
    noise: float = 0.0,
    scale_rate: float = 1.0,
) -> nn.Module:
    """A copy of the network with every ReLU a `QuantisedReLU`, to be trained and then converted.

    start: of every λ; about the size of large activations, 2 to 4 behind batch norm.
    relu_share, percentile, noise: see `QuantisedReLU`. scale_rate: its learning_share.
    Raises UnsupportedNetwork where it cannot be traced, ValueError for a value out of range.
    """
    body = trace(copied(model).train())

    def quantised(name: str, activation: nn.Module) -> nn.Module:
        del name, activation
        return QuantisedReLU(
            levels,
            float(start),
            relu_share=relu_share,
            percentile=percentile,
            noise=noise,
            learning_share=scale_rate,
        )

    swap_activations(body, quantised)
    return body


@method(
    "qcfs",
    summary="threshold = trained scale of the quantised activation, start at half of it",
    source="Bu 2022, section 4",
    calibration_images=256,
    ann="qcfs",
)
def qcfs(source: Source, *, correction: int = 0, delay: int = 0) -> Balance:
    """θ_l = λ_l, v₀ = θ/2: exact in the first layer at T = L. What follows is for few steps.

    correction: steps after which each bias is corrected by the mean error of its layer, as
        `calibration` does it (Li 2021); 0 leaves them as they are, and looks at no image.
    delay: first steps whose output the answer leaves out, since deep layers are not under way yet
        (as Bu 2025 has it for local-balance). They count as timesteps.
    """
    for option, value in (("correction", correction), ("delay", delay)):
        if value < 0:
            raise ValueError(f"qcfs: {option} must be at least 0, got {value}")
    theta = trained_scales(source)
    balance = Balance(theta, start=halves(theta))
    if correction:
        balance = with_corrected_biases(source, balance, correction)
    return replace(balance, observation=delayed(delay))


def trained_scales(source: Source) -> dict[str, Tensor]:
    """λ of every layer."""
    scales = {}
    for node, activation in layers(source.body, Kind.ACTIVATION):
        assert isinstance(activation, Quantised)
        scales[node.name] = activation.threshold.detach()
    return source.settle(scales)[0]
