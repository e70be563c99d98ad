"""steps.c behind Python: a layer's steps in one pass over memory each way.

Forward reads a step's current and writes its spikes. Backward charges the same potentials from the
same currents once more, so that none is kept. What rules without a graph gather of spikes and
potentials takes one more pass.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from network.compiled.loading import agreeing
from network.compiled.parts import over_parts
from network.layout import laid_out, strides_of_steps

SOURCE = Path(__file__).with_name("steps.c")
FORMS = ("fast-sigmoid", "triangle", "rectangle", "arctan")  # of slopes; expf is no vector code
WORTH_A_THREAD = 1 << 17  # neurons · steps: below that, waking one takes longer
HALF = {torch.float32: 0, torch.bfloat16: 1}


class _CNeurons(ctypes.Structure):
    """The structure of steps.c, field by field."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("size", "steps", "stride", "half", "hard", "form")),
        *((name, ctypes.c_float) for name in ("theta", "decay", "first", "second", "height")),
    )


class Firing(NamedTuple):
    """What a layer of neurons does: threshold, leak β, kind of reset, a surrogate slope, and the
    height of its spikes in `forward`."""

    theta: float
    decay: float
    hard: bool
    slope: Any = None
    height: float = 1.0


def kernel_for(current: Tensor, thresholds: int = 1, slope: Any = None) -> Kernel | None:
    """What does a layer of this current: on a CPU, with one threshold and a slope of a known form;
    None where the loops run."""
    here = current.device.type == "cpu" and current.dtype in HALF and thresholds == 1
    known = slope is None or getattr(slope, "form", ("",))[0] in FORMS
    return kernel() if here and known else None


@dataclass(frozen=True)
class Kernel:
    """The compiled library, which agrees with PyTorch."""

    code: ctypes.CDLL

    def forward(
        self, current: Tensor, v: Tensor, firing: Firing, repeats: int = 1, *, ours: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Spikes [T, B, ...] and the last v, of currents [T, B, ...] and v before the first step;
        or of one current [1, B, ...] that comes `repeats` times.

        ours: nobody else reads them: spikes may take the place of the current, the last v of v.
        """
        strides = strides_of_steps(current)
        shape = (repeats * len(current), *v.shape)
        current, start = laid_out(current, strides), laid_out(v, strides[1:])
        spikes = current
        if repeats > 1 or not ours:
            spikes = torch.empty_strided(shape, strides, dtype=current.dtype)
        end = start if ours else torch.empty_like(start)
        layer = _neurons(spikes, firing, repeats)
        _in_parts(self.code.run_forward, layer, current, start, spikes, end)
        return spikes, end

    def backward(
        self, current: Tensor, v: Tensor, firing: Firing, repeats: int, arrived: Tensor, *,
        ours: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Gradients of the current, in its shape, and of the potential before the first step.

        arrived: the gradient of the spikes. ours: nobody else reads the current: its gradient may
        take its place.
        """
        strides = strides_of_steps(current)
        current, start = laid_out(current, strides), laid_out(v, strides[1:])
        arrived = laid_out(arrived.to(current.dtype), strides)
        result, carried = current if ours else torch.empty_like(current), torch.empty_like(start)
        layer = _neurons(arrived, firing, repeats)
        _in_parts(self.code.run_backward, layer, current, start, arrived, result, carried)
        return result, carried

    def gather(self, spikes: Tensor, total: Tensor, decay: float) -> None:
        """total ← total · decay + s(t) for every step of spikes [T, B, ...].

        total: float32 [B, ...], laid out as each step is.
        """
        layer = _neurons(spikes, Firing(0.0, decay, hard=False))
        _in_parts(self.code.run_gather, layer, laid_out(spikes, _steps_like(total)), total)

    def slope_sums(self, current: Tensor, v: Tensor, total: Tensor, firing: Firing) -> None:
        """total ← total + slope(v⁻(t) − θ) for every step of the current [T, B, ...]; v goes on.

        v, total: float32 [B, ...], laid out as each step is.
        """
        once = current[:1] if current.stride(0) == 0 else current
        given = laid_out(once, _steps_like(total))
        layer = _neurons(current, firing, repeats=len(current) // len(once))
        _in_parts(self.code.run_slopes, layer, given, v, total)


def _steps_like(total: Tensor) -> tuple[int, ...]:
    return total.numel(), *total.stride()


def _neurons(every: Tensor, firing: Firing, repeats: int = 1) -> _CNeurons:
    """every: what comes at every step, [T, B, ...]."""
    name, first, second = (FORMS[0], 0.0, 0.0) if firing.slope is None else firing.slope.form
    size = every[0].numel()
    return _CNeurons(
        size, len(every), 0 if repeats > 1 else size, HALF[every.dtype], firing.hard,
        FORMS.index(name), firing.theta, firing.decay, first, second, firing.height,
    )  # fmt: skip


def _in_parts(run: Callable[..., int], layer: _CNeurons, *tensors: Tensor) -> None:
    threads = min(torch.get_num_threads(), -(-layer.size * layer.steps // WORTH_A_THREAD))
    over_parts(run, layer, *tensors, count=layer.size, threads=threads)  # each neuron is on its own


@cache
def kernel() -> Kernel | None:
    """The kernel of this machine; None, said once, where it does not run or is not right."""
    return agreeing(SOURCE, Kernel, _agrees, otherwise="neurons are advanced step by step, slower")


class _Tent:
    form = ("triangle", 0.5, 1.0)


def _agrees(found: Kernel) -> bool:
    """Whether numbers that bfloat16 holds exactly come out as the equations have them."""
    z = (torch.arange(3 * 1100).view(3, 1100) * 7 % 33 - 8) / 16
    gradients = (torch.arange(3 * 1100).view(3, 1100) * 5 % 9 - 4) / 4
    for dtype, hard in ((torch.float32, False), (torch.bfloat16, True)):
        v, befores, spikes = torch.zeros(1100), [], []
        for current in z:
            befores.append(0.5 * v + current)
            spikes.append((befores[-1] >= 1.0).float())
            v = befores[-1] - spikes[-1] * (befores[-1] if hard else 1.0)
        later, results = torch.zeros(1100), []
        for before, fired, gradient in zip(
            befores[::-1], spikes[::-1], gradients.flip(0), strict=True
        ):
            slope = (1.0 - 0.5 * (before - 1.0).abs()).clamp(min=0.0)
            later = gradient * slope + later * (1.0 - fired if hard else 1.0)
            results.append(later)
            later = 0.5 * later
        given = z.to(dtype), torch.zeros(1100), Firing(1.0, 0.5, hard, _Tent), 1
        fired, end = found.forward(*given)
        back, carried = found.backward(*given, gradients.to(dtype), ours=False)
        expected = torch.stack(spikes), v, torch.stack(results[::-1]).to(dtype), later
        pairs = zip((fired.float(), end, back, carried), expected, strict=True)
        if not all(torch.equal(one, two) for one, two in pairs):
            return False
    return True
