"""`offset`: start potentials shifted by one spike where a trial run missed one (Hao 2023, COS)."""

from __future__ import annotations

import torch
from torch import Tensor

from conversion.method import method
from conversion.methods.half_shift import halves
from conversion.methods.qcfs import trained_scales
from conversion.source import Balance, Source
from network.neurons import Neuron, NeuronState, per_channel
from network.observation import Observation
from network.options import POSITIVE, Option


@method(
    "offset",
    summary="qcfs; start potentials are corrected after some observation steps",
    source="Hao 2023 (offset spikes, ICLR), section 4",
    calibration_images=1,
    ann="qcfs",
    plain="qcfs",
    steps=Option(4, "ρ, steps of observation; they count as timesteps", POSITIVE),
)
def offset(source: Source, *, steps: int) -> Balance:
    """Layer by layer, run ρ = `steps` steps from v₀ = θ/2, then shift the start of a neuron that

    fired once too often (v(ρ) < 0) down, and of one that fired too little (v(ρ) ≥ θ) up. The next
    layer observes the corrected train. The ρ steps count as timesteps.

    Raises ValueError with hard reset: what a spike takes away would not be θ.
    """
    if source.reset != "soft":
        raise ValueError(f"offset needs the soft reset, got {source.reset!r}")
    theta = trained_scales(source)
    return Balance(theta, start=halves(theta), observation=Observation(steps, correct))


def correct(neuron: Neuron, current: Tensor) -> tuple[Tensor, NeuronState]:
    start = neuron.initial_state(current).v + shifts(neuron, current)
    spikes, _ = neuron.advance(current, NeuronState(start))
    return spikes, NeuronState(start)


def shifts(neuron: Neuron, current: Tensor) -> Tensor:
    """What to add to each start potential [B, ...] after a current [ρ, B, ...].

    In units of θ: −max(1, m − 0.999), m the smallest v⁻ at which a neuron that fired too often
    fired; +max(1, 1.001 − m), m the largest v⁻ at which one that fired too little stayed silent.
    """
    theta = per_channel(neuron.theta, current)
    shift = per_channel(neuron.shift, current)
    v = neuron.initial_state(current).v / theta
    smallest_fired = torch.full_like(v, float("inf"))
    largest_silent = torch.full_like(v, -float("inf"))
    for z in (current + shift) / theta:
        before = v + z
        fired = before >= 1.0
        smallest_fired = torch.where(fired, smallest_fired.minimum(before), smallest_fired)
        largest_silent = torch.where(fired, largest_silent, largest_silent.maximum(before))
        v = before - fired.to(v.dtype)
    too_often = (v < 0) & smallest_fired.isfinite()
    too_little = (v >= 1) & largest_silent.isfinite()
    down = (smallest_fired - 0.999).clamp(min=1.0)
    up = (1.001 - largest_silent).clamp(min=1.0)
    return theta * (torch.where(too_little, up, 0.0) - torch.where(too_often, down, 0.0))
