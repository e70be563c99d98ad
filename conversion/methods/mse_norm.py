"""`mse-norm`: thresholds with the least quantisation error at a given T (Li 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from conversion.method import method
from conversion.methods.half_shift import halves
from conversion.options import MADE_FOR
from conversion.source import Balance, Source
from conversion.statistics import Maximum, activations, gather

GRID = 100  # candidates: 1 % … 100 % of the largest activation
BINS = 10_000  # of the histogram that stands for the activations


@method(
    "mse-norm",
    summary="threshold with the least mean squared error after T steps, start at half of it",
    source="Li 2021, section 4.1",
    calibration_images=1000,
    timesteps=MADE_FOR,
)
def mse_norm(source: Source, *, timesteps: int) -> Balance:
    """θ_l = argmin over the grid of E[(q(a; θ, T) − a)²], v₀ = θ/2, with

    q(a; θ, T) = θ/T · clip(⌊T·a/θ + ½⌋, 0, T), what such a neuron puts out in T even steps.
    """
    largest = gather(source.body, source.batches, {name: Maximum() for name in source.names})
    largest, notes = source.settle(largest)
    counts = _histograms(source, largest)
    theta = {name: best_threshold(largest[name], counts[name], timesteps) for name in source.names}
    return Balance(theta, start=halves(theta), notes=notes)


def quantised(a: Tensor, theta: Tensor, timesteps: int) -> Tensor:
    """q(a; θ, T), the mean output of T steps with v₀ = θ/2 and an even input."""
    spikes = (timesteps * a / theta + 0.5).floor().clamp(0, timesteps)
    return spikes * theta / timesteps


def best_threshold(largest: Tensor, counts: Tensor, timesteps: int) -> Tensor:
    """The grid's best threshold for activations given as a histogram over [0, largest]."""
    exact = largest.double().cpu()
    width = exact / BINS
    centres = (torch.arange(BINS, dtype=torch.float64) + 0.5) * width
    errors = []
    for share in range(1, GRID + 1):
        theta = exact * share / GRID
        errors.append(((quantised(centres, theta, timesteps) - centres).square() * counts).sum())
    best = int(torch.stack(errors).argmin())
    return largest * (best + 1) / GRID


def _histograms(source: Source, largest: dict[str, Tensor]) -> dict[str, Tensor]:
    """Counts [BINS] of the positive activations of each layer; zeros are always met exactly."""
    counts = {name: torch.zeros(BINS, dtype=torch.float64) for name in source.names}
    for images in source.batches:
        for name, values in activations(source.body, images).items():
            positive = values[values > 0].cpu().float()
            counts[name] += torch.histc(positive, BINS, 0.0, float(largest[name])).double()
    return counts
