"""The step of a spiking neuron, and three ways of taking many: plain, without a graph, fused.

All of them are functions of current, potential and threshold; `advance_by_steps` is the plain form
that the two fast ones must equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from network.fused import on_cpu, on_cuda
from network.layout import like_each_step
from network.saved import Origin

Reset = Literal["soft", "hard"]
Height = Literal["unit", "threshold"]
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
    current: Tensor,
    v: Tensor,
    theta: Tensor,
    *,
    decay: float,
    reset: Reset,
    height: Height = "unit",
    ours: bool = False,
) -> tuple[Tensor, Tensor]:
    """`advance_by_steps` without a graph: one buffer, the layout of the current is kept.

    height: spikes are 1, or θ in the precision of the current.
    ours: nobody else reads current and v: spikes may take the place of the one, the last v of the
        other.
    """
    kernel = on_cpu.kernel_for(current, theta.numel())
    if kernel is not None:
        once = current[:1] if current.stride(0) == 0 else current
        threshold = theta.item()
        high = threshold if height == "threshold" else 1.0
        firing = on_cpu.Firing(threshold, decay, reset == "hard", height=high)
        return kernel.forward(once, v, firing, len(current) // len(once), ours=ours)
    apart = not ours or current.stride(0) == 0
    spikes = like_each_step(current, current.dtype) if apart else current
    v = v if ours else v.clone()
    whole = current.dtype == v.dtype
    scratch = v if whole else torch.empty_like(v)  # of mixed types PyTorch's loops are slow
    for t in range(current.shape[0]):
        z = current[t] if whole else scratch.copy_(current[t])
        if decay == 1.0:
            v.add_(z)
        else:
            torch.add(z, v, alpha=decay, out=v)
        fired = torch.ge(v, theta, out=spikes[t] if whole else scratch)
        if not whole:
            spikes[t].copy_(fired)
        v.addcmul_(fired, theta if reset == "soft" else v, value=-1.0)
    if height == "threshold":
        spikes.mul_(theta.to(spikes.dtype))
    return spikes, v


class AdvanceWithGradient(torch.autograd.Function):
    """The whole loop over T as one node of the graph.

    Forward keeps v⁻ at most, or what it follows from: what batch norm made the current of; else the
    current, where it is the same at every step, or where compiled code takes the steps. Backward,
    from the last step to the first, with g the slope::

        ∂L/∂v⁻(t) = ∂L/∂s(t)·g(v⁻(t) − θ) + ∂L/∂v(t)·r(t),   r = 1 (soft) or 1 − s(t) (hard)
        ∂L/∂z(t)  = ∂L/∂v⁻(t),    ∂L/∂v(t−1) = β·∂L/∂v⁻(t)
    """

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, current: Tensor, v: Tensor, theta: Tensor, decay: float, reset: Reset, slope: Slope,
        repeats: int = 1, origin: Origin | None = None,
    ):  # fmt: skip
        """current: [T, B, ...], or [1, B, ...] that comes `repeats` times; origin: what made it."""
        ctx.on_cuda = on_cuda.fits(current, theta, slope)
        ctx.kernel = on_cpu.kernel_for(current, theta.numel(), slope)
        ctx.decay, ctx.reset, ctx.slope, ctx.repeats = decay, reset, slope, repeats
        ctx.norm = None
        every = current.expand(repeats, *current.shape[1:]) if repeats > 1 else current
        before: Tensor | None = None
        if ctx.kernel is not None:
            spikes, end = ctx.kernel.forward(current, v, _firing(ctx, theta), repeats)
        elif ctx.on_cuda:
            before, spikes, end = on_cuda.forward(every, v, theta, decay, reset == "hard")
        else:
            before = like_each_step(every, torch.float32)
            spikes = like_each_step(every, current.dtype)
            end = _charge(ctx, every, v, theta, before, spikes)
        if origin is not None and repeats == 1:
            ctx.save_for_backward(origin.x, v, theta)
            ctx.norm = origin.norm
        elif repeats > 1 or before is None:
            ctx.save_for_backward(current, v, theta)
        else:
            ctx.save_for_backward(before, None, theta)
        ctx.mark_non_differentiable(end)
        return spikes, end

    @staticmethod
    def backward(ctx, spike_gradient: Tensor, state_gradient: Tensor):  # type: ignore[no-untyped-def]
        kept, v, theta = ctx.saved_tensors
        current = kept if ctx.norm is None else ctx.norm(kept).unflatten(0, (-1, len(v)))
        if ctx.kernel is not None:
            result, carried = ctx.kernel.backward(
                current, v, _firing(ctx, theta), ctx.repeats, spike_gradient,
                ours=ctx.norm is not None,
            )  # fmt: skip
            return result, carried, None, None, None, None, None, None
        before = kept if v is None else _charge_again(ctx, current, v, theta)
        if ctx.on_cuda:
            current_gradient, carried = on_cuda.backward(
                before, theta, spike_gradient, ctx.decay, ctx.reset == "hard", ctx.slope
            )
        else:  # in the place of v⁻ where that is ours alone
            current_gradient = like_each_step(before, torch.float32) if v is None else before
            carried = _back(ctx, before, theta, spike_gradient, current_gradient)
        if ctx.repeats > 1:
            current_gradient = current_gradient.sum(0, keepdim=True)
        gradient = current_gradient.to(spike_gradient.dtype)
        return gradient, carried, None, None, None, None, None, None


def _firing(ctx: Any, theta: Tensor) -> on_cpu.Firing:
    return on_cpu.Firing(theta.item(), ctx.decay, ctx.reset == "hard", ctx.slope)


def _charge(
    ctx: Any, current: Tensor, v: Tensor, theta: Tensor, before: Tensor, spikes: Tensor | None
) -> Tensor:
    """Write v⁻ and spikes of every step; the last potential. `before` may be `current` itself."""
    whole = spikes is not None and spikes.dtype == before.dtype
    scratch, after = torch.empty_like(before[0]), torch.empty_like(before[0])
    for t in range(current.shape[0]):
        if current.dtype == before.dtype:
            torch.add(current[t], v, alpha=ctx.decay, out=before[t])
        else:  # of mixed types PyTorch's loops are slow
            before[t].copy_(current[t]).add_(v, alpha=ctx.decay)
        fired = spikes[t] if whole and spikes is not None else scratch
        torch.ge(before[t], theta, out=fired)
        if spikes is not None and not whole:
            spikes[t].copy_(fired)
        down = theta if ctx.reset == "soft" else before[t]
        v = torch.addcmul(before[t], fired, down, value=-1.0, out=after)
    return v


def _charge_again(ctx: Any, current: Tensor, v: Tensor, theta: Tensor) -> Tensor:
    """v⁻ [T, B, ...] from the current once more, in memory of its own."""
    if ctx.norm is None:
        current = current.expand(ctx.repeats, *current.shape[1:])
    if ctx.on_cuda:
        return on_cuda.forward(current, v, theta, ctx.decay, ctx.reset == "hard")[0]
    ours = ctx.norm is not None and current.dtype == torch.float32
    before = current if ours else like_each_step(current, torch.float32)
    _charge(ctx, current, v, theta, before, None)
    return before


def _back(
    ctx: Any, before: Tensor, theta: Tensor, spike_gradient: Tensor, result: Tensor
) -> Tensor:
    """Write the gradients of the current at every step; that of the first potential."""
    carried: Tensor | None = None
    for t in range(before.shape[0] - 1, -1, -1):
        x = before[t] - theta
        arrived = spike_gradient[t].float()
        if carried is None:
            torch.mul(arrived, ctx.slope(x), out=result[t])
        else:
            if ctx.reset == "hard":
                carried = carried * (x < 0)
            torch.addcmul(carried, arrived, ctx.slope(x), out=result[t])
        carried = result[t]
        if ctx.decay != 1.0:
            carried = carried * ctx.decay
    assert carried is not None
    return carried
