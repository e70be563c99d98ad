"""All steps of a layer of neurons in one kernel each way, on a CUDA device.

The same numbers as the loops of `network.steps`, apart from the order of float32 rounding, and as
that of `network.fixed.firing`, bit for bit. Every step of a current lies in memory as one block,
so the kernels see [T, N] whatever the layout is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from network.layout import laid_out, like_each_step

kernels: Any = None
if torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET"):
    try:
        from network.fused import triton_steps as kernels
    except ImportError:  # a PyTorch without Triton: the loops run
        kernels = None

BLOCK = 1024
FORMS = ("fast-sigmoid", "triangle", "exponential", "rectangle", "arctan")


def form_of(slope: Any) -> tuple[int, float, float] | None:
    """Number of a slope's form here and its two parameters; None for a slope of another form."""
    name, first, second = getattr(slope, "form", ("", 0.0, 0.0))
    return (FORMS.index(name), first, second) if name in FORMS else None


def run_on(x: Tensor) -> bool:
    """Whether the kernels run where this tensor is."""
    return kernels is not None and (x.is_cuda or "TRITON_INTERPRET" in os.environ)


def fits(current: Tensor, theta: Tensor, slope: Any) -> bool:
    """Whether the kernels do this layer: on CUDA, one threshold, a slope of a known form."""
    one = theta.numel() == 1 and theta.device == current.device
    return run_on(current) and one and form_of(slope) is not None


def forward(
    current: Tensor, v: Tensor, theta: Tensor, decay: float, hard: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """v⁻ and spikes [T, B, ...] and the last v."""
    before, spikes = like_each_step(current, torch.float32), like_each_step(current, current.dtype)
    steps, size = len(current), v.numel()
    if size and current[0].stride() != before[0].stride():
        current = like_each_step(current, current.dtype).copy_(current)
    start, end = torch.empty_like(before[0]).copy_(v), torch.empty_like(before[0])
    if size:
        kernels.forward[(-(-size // BLOCK),)](
            current, start, theta.float(), before, spikes, end, size, current.stride(0), steps,
            decay, HARD=hard, BLOCK=BLOCK,
        )  # fmt: skip
    return before, spikes, end


def backward(
    before: Tensor, theta: Tensor, spike_gradient: Tensor, decay: float, hard: bool, slope: Any
) -> tuple[Tensor, Tensor]:
    """Gradients of the current [T, B, ...] and of the potential before the first step."""
    result, carried = like_each_step(before, spike_gradient.dtype), torch.empty_like(before[0])
    if spike_gradient.stride() != result.stride():
        spike_gradient = like_each_step(before, spike_gradient.dtype).copy_(spike_gradient)
    form = form_of(slope)
    assert form is not None
    size = carried.numel()
    if size:
        kernels.backward[(-(-size // BLOCK),)](
            before, spike_gradient, theta.float(), result, carried, size, len(before), decay,
            form[1], form[2], FORM=form[0], HARD=hard, BLOCK=BLOCK,
        )  # fmt: skip
    return result, carried


MOST_PARTS = 3  # that add to a whole potential: high and low bytes, and one more


def whole(
    v: Tensor,
    theta: Tensor,
    parts: Sequence[tuple[Tensor, int | Tensor]],
    spikes: Tensor,
    hard: bool,
    limit: int = 0,
) -> None:
    """Whole potentials v, int32 [B, ...], and spikes, uint8 [T, B, ...], through T steps; both are
    written and lie alike in memory.

    theta: int32 [1, ...]. parts: one to MOST_PARTS of whole numbers [T, B, ...] of any type and
    what they are multiplied by: a number, or int32 [1, ...]. limit: v is held within ± it after
    every step; 0 for not.
    """
    given: list[Any] = []
    placed: list[bool] = []
    for numbers, factor in parts:
        if numbers.stride()[1:] != v.stride():
            numbers = laid_out(numbers, spikes.stride())
        placed.append(isinstance(factor, Tensor))
        scale = (0, _placed(factor, v)) if isinstance(factor, Tensor) else (factor, v)
        given += [numbers, numbers.stride(0), *scale]
    for _ in range(len(parts), MOST_PARTS):
        given += [v, 0, 0, v]
        placed.append(False)
    if v.numel():
        kernels.whole[(-(-v.numel() // BLOCK),)](
            v, _placed(theta, v), spikes, v.numel(), v[0].numel(), len(spikes), *given,
            FIRST=placed[0], SECOND=placed[1], THIRD=placed[2],
            PARTS=len(parts), HARD=hard, LIMIT=limit, BLOCK=BLOCK,
        )  # fmt: skip


def _placed(x: Tensor, v: Tensor) -> Tensor:
    """int32 [1, ...] that may repeat, laid out as one image of v."""
    one = v[:1]
    same = (x.dtype, x.shape, x.stride()) == (one.dtype, one.shape, one.stride())
    return x if same else torch.empty_like(one).copy_(x)
