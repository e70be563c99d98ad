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
from torch import Tensor, nn

from network.neurons import Dynamics, Neuron, NeuronState


@dataclass(frozen=True)
class EventDynamics:
    """Times in ms; inhibition μ in [0, 1] is the share of its own threshold a neuron loses."""

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


def winners(v: Tensor, theta: Tensor, inhibition: float) -> Tensor:
    """Spikes (0 or 1) of a group within one step, [B, N] from potentials [B, N]."""
    if not inhibition:
        return (v >= theta).to(v.dtype)
    level, order = (v / theta).sort(dim=-1, descending=True, stable=True)
    bound = 1.0 + inhibition * torch.arange(v.shape[-1], dtype=v.dtype, device=v.device)
    return torch.zeros_like(v).scatter_(-1, order, (level >= bound).to(v.dtype))


class EventNeuron(Neuron):
    """A group of `lif-event` neurons, each with a trained threshold [N]."""

    def __init__(self, events: EventDynamics, theta: Tensor) -> None:
        super().__init__(Dynamics(events.decay, "soft"), theta=theta)
        self.events = events
        start = self.theta
        del self.theta
        self.theta = nn.Parameter(start)

    def advance(self, current: Tensor, state: NeuronState | None) -> tuple[Tensor, NeuronState]:
        """Current [T, B, N] and state to (spikes [T, B, N], state); no gradient."""
        if state is None or state.since is None:
            v = torch.zeros_like(current[0], dtype=torch.float32)
            since = torch.full_like(v, math.inf)
        else:
            v, since = state.v, state.since
        theta = self.theta.detach()
        spikes = torch.empty(current.shape, dtype=current.dtype, device=current.device)
        for t in range(current.shape[0]):
            spikes[t], v, since = event_step(current[t], v, since, theta, self.events)
        return spikes, NeuronState(v, None, since)
