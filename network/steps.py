"""The step of a spiking neuron, and three ways of taking many: plain, without a graph, fused.

All of them are functions of current, potential and threshold; `advance_by_steps` is the plain form
that the two fast ones must equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from network import fused

Reset = Literal["soft", "hard"]
Slope = Callable[[Tensor], Tensor]


class _Spike(torch.autograd.Function):
    """Heaviside step with a surrogate slope: s = 1[x ≥ 0], ds/dx := slope(x)."""

    @staticmethod
    def forward(ctx, x: Tensor, slope: Slope) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        ctx.slope = slope
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return gradient * ctx.slope(x), None


def spike(x: Tensor, slope: Slope | None) -> Tensor:
    """s = 1 where x = v⁻ − θ ≥ 0; differentiable through `slope` where one is given."""
    if slope is None:
        return (x >= 0).to(x.dtype)
    result: Tensor = _Spike.apply(x, slope)
    return result


def step(
    current: Tensor,
    v: Tensor,
    theta: Tensor,
    *,
    decay: float | Tensor = 1.0,
    reset: Reset = "soft",
    slope: Slope | None = None,
) -> tuple[Tensor, Tensor]:
    """One step: current z and potential v, both [B, ...], to (spikes, new potential)."""
    before = decay * v + current
    spikes = spike(before - theta, slope)
    fired = spikes.detach()
    after = before - fired * theta if reset == "soft" else before * (1.0 - fired)
    return spikes, after


def advance_by_steps(
    current: Tensor,
    v: Tensor,
    theta: Tensor,
    *,
    decay: float | Tensor = 1.0,
    reset: Reset = "soft",
    slope: Slope | None = None,
) -> tuple[Tensor, Tensor]:
    """`step` for every t of current [T, B, ...]: the plain form that the fast ones must equal."""
    spikes = []
    for z in current:
        s, v = step(z, v, theta, decay=decay, reset=reset, slope=slope)
        spikes.append(s)
    return torch.stack(spikes), v


def advance(
    current: Tensor, v: Tensor, theta: Tensor, *, decay: float, reset: Reset
) -> tuple[Tensor, Tensor]:
    """`advance_by_steps` without a graph: one buffer, the layout of the current is kept."""
    spikes = like_each_step(current, current.dtype)
    v = v.clone()
    for t in range(current.shape[0]):
        if decay == 1.0:
            v.add_(current[t])
        else:
            torch.add(current[t], v, alpha=decay, out=v)
        torch.ge(v, theta, out=spikes[t])
        if reset == "soft":
            v.addcmul_(spikes[t], theta, value=-1.0)
        else:
            v.masked_fill_(spikes[t] != 0, 0.0)
    return spikes, v


def like_each_step(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Empty [T, B, ...], laid out in memory as each x[t] is, also where x repeats one step."""
    one = torch.empty_like(x[0], device="meta")
    strides = (one.numel(), *one.stride())
    return torch.empty_strided(x.shape, strides, dtype=dtype, device=x.device)


class AdvanceWithGradient(torch.autograd.Function):
    """The whole loop over T as one node of the graph.

    Forward keeps v⁻ only. Backward, from the last step to the first, with g the slope::

        ∂L/∂v⁻(t) = ∂L/∂s(t)·g(v⁻(t) − θ) + ∂L/∂v(t)·r(t),   r = 1 (soft) or 1 − s(t) (hard)
        ∂L/∂z(t)  = ∂L/∂v⁻(t),    ∂L/∂v(t−1) = β·∂L/∂v⁻(t)
    """

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, current: Tensor, v: Tensor, theta: Tensor, decay: float, reset: Reset, slope: Slope
    ):
        ctx.fused = fused.fits(current, theta, slope)
        if ctx.fused:
            hard = reset == "hard"
            before, spikes, v = fused.forward(current, v, theta, decay, hard, like_each_step)
        else:
            before = like_each_step(current, torch.float32)
            spikes = like_each_step(current, current.dtype)
            for t in range(current.shape[0]):
                torch.add(current[t], v, alpha=decay, out=before[t])
                torch.ge(before[t], theta, out=spikes[t])
                if reset == "soft":
                    v = torch.addcmul(before[t], spikes[t], theta, value=-1.0)
                else:
                    v = before[t] * (spikes[t] == 0)
        ctx.save_for_backward(before, theta)
        ctx.decay, ctx.reset, ctx.slope = decay, reset, slope
        ctx.mark_non_differentiable(v)
        return spikes, v

    @staticmethod
    def backward(ctx, spike_gradient: Tensor, state_gradient: Tensor):  # type: ignore[no-untyped-def]
        before, theta = ctx.saved_tensors
        if ctx.fused:
            found = fused.backward(
                before, theta, spike_gradient, ctx.decay, ctx.reset == "hard", ctx.slope,
                like_each_step,
            )  # fmt: skip
            return *found, None, None, None, None
        current_gradient = like_each_step(before, torch.float32)
        carried: Tensor | None = None
        for t in range(before.shape[0] - 1, -1, -1):
            x = before[t] - theta
            arrived = spike_gradient[t].float()
            if carried is None:
                torch.mul(arrived, ctx.slope(x), out=current_gradient[t])
            else:
                if ctx.reset == "hard":
                    carried = carried * (x < 0)
                torch.addcmul(carried, arrived, ctx.slope(x), out=current_gradient[t])
            carried = current_gradient[t]
            if ctx.decay != 1.0:
                carried = carried * ctx.decay
        return current_gradient.to(spike_gradient.dtype), carried, None, None, None, None
