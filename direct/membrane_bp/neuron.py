"""The neuron of Lee 2016, section 3, in steps of fixed length: `lif-event`.

    v⁻ = v·exp(−Δ/τ_mp) + w_dyn·z, at least −θ      (eq. 1; Δ one step)
    s  = 1 where v⁻ ≥ θ;  v = v⁻ − γθs              (eq. 2; γ = 1)
    v_i falls by μθ_i for every other neuron of its group that spikes (section 3.2; κ = −μ)

w_dyn = (Δt/T_ref)² for Δt < T_ref since the neuron's own last spike, else 1. Where several neurons
of a group cross their thresholds in the same step, they take turns by v⁻/θ, the largest first, and
each spike inhibits those that wait: the neuron of rank k = 0, 1, … spikes where v⁻/θ ≥ 1 + μk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class EventDynamics:
    """Leak between events, refractory time, lateral inhibition (Lee 2016); of `membrane-bp` alone.

    Times in ms; inhibition μ in [0, 1] is the share of its own threshold a neuron loses."""

    tau_ms: float = 20.0
    refractory_ms: float = 1.0
    step_ms: float = 1.0
    inhibition: float = 0.0

    def __post_init__(self) -> None:
        for name in ("tau_ms", "refractory_ms", "step_ms"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0.0 <= self.inhibition <= 1.0:
            raise ValueError(f"inhibition must lie in [0, 1], got {self.inhibition}")

    @property
    def decay(self) -> float:
        return math.exp(-self.step_ms / self.tau_ms)


def event_step(
    current: Tensor, v: Tensor, since: Tensor, theta: Tensor, dynamics: EventDynamics
) -> tuple[Tensor, Tensor, Tensor]:
    """One step: current, potential and time since the last spike, [B, N], to spikes and both."""
    since = since + dynamics.step_ms
    recovered = (since / dynamics.refractory_ms).square().clamp(max=1.0)
    v = torch.maximum(dynamics.decay * v + recovered * current, -theta)
    spikes = winners(v, theta, dynamics.inhibition)
    v = v - theta * spikes
    if dynamics.inhibition:
        others = spikes.sum(dim=-1, keepdim=True) - spikes
        v = torch.maximum(v - dynamics.inhibition * theta * others, -theta)
    return spikes, v, since.masked_fill(spikes > 0, 0.0)


def advance_events(
    current: Tensor, v: Tensor, since: Tensor, theta: Tensor, dynamics: EventDynamics
) -> tuple[Tensor, Tensor, Tensor]:
    """`event_step` for every t of current [T, B, N]: spikes [T, B, N], potential and time."""
    spikes = torch.empty_like(current)
    for t in range(current.shape[0]):
        spikes[t], v, since = event_step(current[t], v, since, theta, dynamics)
    return spikes, v, since


def winners(v: Tensor, theta: Tensor, inhibition: float) -> Tensor:
    """Spikes (0 or 1) of a group within one step, [B, N] from potentials [B, N]."""
    if not inhibition:
        return (v >= theta).to(v.dtype)
    level, order = (v / theta).sort(dim=-1, descending=True, stable=True)
    bound = 1.0 + inhibition * torch.arange(v.shape[-1], dtype=v.dtype, device=v.device)
    return torch.zeros_like(v).scatter_(-1, order, (level >= bound).to(v.dtype))
