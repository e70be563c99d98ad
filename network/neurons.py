"""Spiking neurons: a pure step, a state that is passed in and handed back, and a layer of them.

One step of every neuron here::

    v⁻ = β·v + z                    charge; β = 1 integrates, β < 1 leaks
    s  = 1 where v⁻ ≥ θ, else 0     fire
    v  = v⁻ − θ·s   (soft reset)    or   v = v⁻·(1 − s)   (hard reset)

The spike in the reset carries no gradient. The membrane potential is float32 whatever the
precision of the current.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from network.registry import Registry
from network.saved import Origin
from network.steps import (
    AdvanceWithGradient,
    Height,
    Reset,
    Slope,
    advance,
    advance_by_steps,
    spike,
    step,
)

__all__ = [
    "NEURONS",
    "Dynamics",
    "Neuron",
    "NeuronState",
    "Reset",
    "Slope",
    "advance",
    "advance_by_steps",
    "per_channel",
    "spike",
    "step",
]


@dataclass(frozen=True)
class Dynamics:
    """Leak β per step (1 = none) and the kind of reset."""

    decay: float = 1.0
    reset: Reset = "soft"

    def __post_init__(self) -> None:
        if not 0.0 <= self.decay <= 1.0:
            raise ValueError(f"decay must lie in [0, 1], got {self.decay}")
        if self.reset not in ("soft", "hard"):
            raise ValueError(f"reset must be 'soft' or 'hard', got {self.reset!r}")


NEURONS: Registry[Callable[..., Dynamics]] = Registry("neuron")


@NEURONS.register("if")
def integrate_and_fire(*, reset: Reset = "soft") -> Dynamics:
    """Integrate and fire: v⁻ = v + z."""
    return Dynamics(1.0, reset)


@NEURONS.register("lif")
def leaky_integrate_and_fire(*, tau: float = 100.0, reset: Reset = "hard") -> Dynamics:
    """Leaky integrate and fire: v⁻ = βv + z, β = exp(−1/τ), τ in steps (Lee 2020: τ = 100)."""
    if not tau > 0:
        raise ValueError(f"tau must be positive (steps), got {tau}")
    return Dynamics(math.exp(-1.0 / tau), reset)


@NEURONS.register("lif-iterative")
def iterative_leaky_integrate_and_fire(
    *, tau_decay: float = 0.25, reset: Reset = "hard"
) -> Dynamics:
    """Iterative LIF (Zheng 2021, eqs. 1–3): v⁻ = τ_decay·v + z, hard reset to 0."""
    return Dynamics(tau_decay, reset)


class NeuronState(NamedTuple):
    """What a layer of neurons carries from one step to the next.

    v: membrane potential, float32 [B, ...].
    mask: neurons allowed to spike, [B, ...] of 0 and 1, or None for all of them.
    since: time since each neuron's last spike in ms, for neurons with a refractory period.
    """

    v: Tensor
    mask: Tensor | None = None
    since: Tensor | None = None


def _follow_decay(neuron: nn.Module, *_: object) -> None:
    """The dynamics of a neuron leak as its trained decay says."""
    assert isinstance(neuron, Neuron)
    neuron.dynamics = replace(neuron.dynamics, decay=float(neuron.get_buffer("decay")))


class Neuron(nn.Module):
    """A layer of spiking neurons. Its state lives inside one unroll and nowhere else.

    theta: threshold, scalar or one per channel [C]; a buffer, or a parameter once
        `train_threshold` has been called.
    start: potential v₀ before the first step, scalar or [C].
    shift: constant added to the current at every step (a bias correction), scalar or [C].
    height: 'unit' emits 1 (networks trained directly), 'threshold' emits θ (converted ones).
    slope: surrogate ds/dv⁻ as a function of v⁻ − θ; None outside direct training.
    role: 'hidden', or 'pooling' for spiking average pooling, counted apart.
    """

    theta: Tensor
    start: Tensor
    shift: Tensor

    def __init__(
        self,
        dynamics: Dynamics | None = None,
        *,
        theta: Tensor | float = 1.0,
        start: Tensor | float = 0.0,
        shift: Tensor | float = 0.0,
        height: Height = "unit",
        slope: Slope | None = None,
        role: Literal["hidden", "pooling"] = "hidden",
    ) -> None:
        super().__init__()
        self.dynamics = dynamics or Dynamics()
        self.height = height
        self.slope = slope
        self.role = role
        threshold = torch.as_tensor(theta, dtype=torch.float32)
        if not bool((torch.isfinite(threshold) & (threshold > 0)).all()):
            raise ValueError(f"theta must be finite and positive, got {threshold.min().item()}")
        self.register_buffer("theta", threshold)
        self.register_buffer("start", torch.as_tensor(start, dtype=torch.float32))
        self.register_buffer("shift", torch.as_tensor(shift, dtype=torch.float32))
        self.leak: nn.Parameter | None = None

    def train_threshold(self, *, leak: bool = False) -> None:
        """Make θ, and with `leak` also λ in v⁻ = λv + z, trainable (DIET-SNN)."""
        theta = self.theta.detach().clone()
        del self.theta
        self.theta = nn.Parameter(theta)
        if leak:
            self.leak = nn.Parameter(torch.tensor(self.dynamics.decay))

    def freeze_threshold(self) -> None:
        """Undo `train_threshold`: θ is a buffer again, and the trained λ the decay.

        λ stands in the state dictionary, as `decay`, and loading one sets it.
        """
        theta = self.theta.detach().clone()
        del self.theta
        self.register_buffer("theta", theta)
        if self.leak is not None:
            self.keep_decay(self.leak.detach().clone())
            self.leak = None

    def keep_decay(self, decay: Tensor) -> None:
        """Leak by a trained λ, a scalar, that the state dictionary holds as `decay`."""
        self.register_buffer("decay", decay)
        self.register_load_state_dict_post_hook(_follow_decay)
        _follow_decay(self)

    def initial_state(self, current: Tensor) -> NeuronState:
        """State before the first step of current [T, B, ...]."""
        v = torch.zeros_like(current[0], dtype=torch.float32)
        return NeuronState(v + per_channel(self.start, current))

    def advance(
        self,
        current: Tensor,
        state: NeuronState | None,
        origin: Origin | None = None,
        *,
        ours: bool = False,
    ) -> tuple[Tensor, NeuronState]:
        """Current [T, B, ...] and state to (spikes [T, B, ...] of the layer's height, state).

        origin: what made the current, from which backward has it again instead of keeping more.
        ours: nobody else reads current and state: without a graph, spikes and the next state may
            take their place.
        """
        if state is None:
            state = self.initial_state(current)
        theta = per_channel(self.theta, current)
        if self.shift.any():
            current, origin = current + per_channel(self.shift, current), None
        decay, reset, height = self.dynamics.decay, self.dynamics.reset, self.height
        if self.theta.requires_grad or self.leak is not None:
            spikes, v = advance_by_steps(
                current,
                state.v,
                theta,
                decay=decay if self.leak is None else self.leak,
                reset=reset,
                slope=self.slope,
            )
        elif self.slope is not None and torch.is_grad_enabled():
            repeats = len(current) if current.stride(0) == 0 else 1
            spikes, v = AdvanceWithGradient.apply(
                current[:1] if repeats > 1 else current,
                state.v, theta, decay, reset, self.slope, repeats, origin,
            )  # fmt: skip
        else:
            spikes, v = advance(
                current, state.v, theta, decay=decay, reset=reset, height=height, ours=ours
            )
            height = "unit"  # done
        if state.mask is not None:
            spikes = spikes * state.mask
        if height == "threshold":
            spikes = spikes * theta.to(spikes.dtype)
        return spikes, NeuronState(v, state.mask)

    def forward(self, current: Tensor) -> Tensor:
        raise RuntimeError("a spiking layer runs only inside network.unroll.unroll")

    def extra_repr(self) -> str:
        theta = f"{self.theta.mean().item():.4g}"
        shape = "" if self.theta.ndim == 0 else f" (mean of {self.theta.numel()})"
        return (
            f"theta={theta}{shape}, decay={self.dynamics.decay:.4g}, "
            f"reset={self.dynamics.reset}, height={self.height}"
        )


def per_channel(value: Tensor, current: Tensor) -> Tensor:
    """Scalar or [C] shaped to broadcast over current [T, B, C, ...]."""
    if value.ndim == 0:
        return value
    return value.view(-1, *([1] * (current.ndim - 3)))
