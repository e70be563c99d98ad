"""`qcfs`: an ANN trained with quantised, clipped and shifted activations (Bu 2022)."""

from __future__ import annotations

import math
from dataclasses import replace
from types import MappingProxyType

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
from network.options import NOT_NEGATIVE, POSITIVE, SHARE, Option, Range, resolve
from network.over_batch import first_image, leading_images
from network.recipe import training_progress

LEVELS = 8
START = 2.0  # of λ; higher, an ANN of few epochs leans on the coarse levels below the values it has
PERCENTILE = 97.0  # of what a ReLU puts out, for λ where a training begins with ReLUs
QUANTISATION = MappingProxyType(
    {
        "levels": Option(LEVELS, "L, steps of an activation above 0", Range(least=1)),
        "start": Option(START, "λ, the scale of every layer, before training", POSITIVE),
        "relu_share": Option(
            0.0,
            "first share of the training in which activations are ReLUs still",
            Range(least=0.0, below=1.0),
        ),
        "percentile": Option(
            PERCENTILE,
            "of what a ReLU puts out, that λ follows during that share",
            Range(above=0.0, most=100.0),
            idle=("relu_share", (0.0,)),
        ),
        "noise": Option(
            0.0,
            "in front of rounding in training, in levels: uniform between ± half of it",
            SHARE,
        ),
        "scale_rate": Option(
            1.0, "rate at which λ is learned, as a share of that of the weights", NOT_NEGATIVE
        ),
    }
)
"""Options of the ANN with quantised activations, qcfs-ann."""
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

    levels: L, the number of steps above 0. start: λ before training; `threshold` holds it.
    relu_share: a training's first share in which it is a ReLU still, and λ follows the percentile
        of what it puts out (a running mean over the batches).
    noise: in training, a·L/λ is rounded after a number from ±noise/2 is added to it: spikes come
        unevenly, and so many that a neuron sends are one more or one less (Li 2024, Noise Adaptor).
    scale_rate: rate at which λ is learned, as a share of that of the weights.

    Raises OptionError for a value out of range.
    """

    def __init__(
        self,
        levels: int,
        start: float = START,
        *,
        relu_share: float = 0.0,
        percentile: float = PERCENTILE,
        noise: float = 0.0,
        scale_rate: float = 1.0,
    ) -> None:
        super().__init__()
        given = {
            "levels": levels, "start": start, "relu_share": relu_share, "percentile": percentile,
            "noise": noise, "scale_rate": scale_rate,
        }  # fmt: skip
        resolve("qcfs-ann", QUANTISATION, given)
        self.levels, self.relu_share, self.percentile = levels, relu_share, percentile
        self.noise, self.learning_share = noise, scale_rate
        self.threshold = nn.Parameter(torch.tensor(float(start)))

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
    relu_share, percentile, noise, scale_rate: see `QuantisedReLU`.
    Raises UnsupportedNetwork where it cannot be traced, OptionError for a value out of range.
    """
    given = {
        "levels": levels, "start": start, "relu_share": relu_share, "percentile": percentile,
        "noise": noise, "scale_rate": scale_rate,
    }  # fmt: skip
    options = resolve("qcfs-ann", QUANTISATION, given)
    body = trace(copied(model).train())

    def quantised(name: str, activation: nn.Module) -> nn.Module:
        del name, activation
        return QuantisedReLU(**options)

    swap_activations(body, quantised)
    return body


@method(
    "qcfs",
    summary="threshold = trained scale of the quantised activation, start at half of it",
    source="Bu 2022, section 4",
    calibration_images=256,
    ann="qcfs",
    correction=Option(
        0, "steps after which biases are corrected as in calibration; 0: never", NOT_NEGATIVE
    ),
    delay=Option(
        0,
        "first steps whose output the answer leaves out; they count as timesteps",
        NOT_NEGATIVE,
    ),
)
def qcfs(source: Source, *, correction: int, delay: int) -> Balance:
    """θ_l = λ_l, v₀ = θ/2: exact in the first layer at T = L. What follows is for few steps.

    correction: steps after which each bias is corrected by the mean error of its layer, as
        `calibration` does it (Li 2021); 0 leaves them as they are, and looks at no image.
    delay: first steps whose output the answer leaves out, since deep layers are not under way yet
        (as Bu 2025 has it for local-balance). They count as timesteps.
    """
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
