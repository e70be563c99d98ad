"""group.c behind Python: event neurons, and the layer in front of them, as compiled here."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from direct.membrane_bp.neuron import EventDynamics, advance_events
from network.compiled.loading import agreeing

SOURCE = Path(__file__).with_name("group.c")


class _CGroup(ctypes.Structure):
    """The structure of group.c, field by field."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("steps", "batch", "inputs", "units")),
        *((name, ctypes.c_float) for name in ("decay", "step_ms", "refractory_ms", "inhibition")),
        *(
            (name, ctypes.c_void_p)
            for name in ("arriving", "rows", "theta", "v", "since", "spikes")
        ),
    )


@dataclass(frozen=True)
class Compiled:
    """The library, which agrees with `advance_events`."""

    code: ctypes.CDLL

    def advance(
        self,
        arriving: Tensor,
        rows: Tensor | None,
        v: Tensor,
        since: Tensor,
        theta: Tensor,
        dynamics: EventDynamics,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`advance_events` of float32: spikes [T, B, N], potentials and times, [B, N].

        arriving: currents [T, B, N], or with rows, weights [M, N], what they read, [T, B, M].
        """
        steps, batch, inputs = arriving.shape
        kept = [x.detach().contiguous() for x in (arriving, theta)]
        weights = None if rows is None else rows.detach().contiguous()
        v, since = v.clone(memory_format=torch.contiguous_format), since.clone()
        spikes = torch.empty(steps, batch, len(theta))
        group = _CGroup(
            steps, batch, inputs, len(theta), dynamics.decay, dynamics.step_ms,
            dynamics.refractory_ms, dynamics.inhibition, kept[0].data_ptr(),
            None if weights is None else weights.data_ptr(), kept[1].data_ptr(),
            v.data_ptr(), since.data_ptr(), spikes.data_ptr(),
        )  # fmt: skip
        if self.code.run_group(ctypes.byref(group)):
            raise MemoryError("no room for one image's currents")
        return spikes, v, since


@cache
def compiled() -> Compiled | None:
    """The library of this machine; None, and one warning why, where there is none that agrees."""
    without = "membrane-bp runs in plain PyTorch, slower"
    return agreeing(SOURCE, Compiled, _agrees, otherwise=without)


def _agrees(found: Compiled) -> bool:
    """With and without inhibition between neurons."""
    return all(_agrees_at(found, inhibition) for inhibition in (0.0, 0.4))


def _agrees_at(found: Compiled, inhibition: float) -> bool:
    """Whether a group of its own spikes as in the plain form; its weights have exact sums."""
    generator = torch.Generator().manual_seed(0)
    dynamics = EventDynamics(refractory_ms=3.0, inhibition=inhibition)
    arriving = (torch.rand(20, 3, 30, generator=generator) < 0.2).float()
    rows = torch.randint(-64, 96, (30, 21), generator=generator) / 256
    theta = torch.randint(64, 256, (21,), generator=generator) / 256
    start = torch.zeros(3, 21), torch.full((3, 21), torch.inf)
    with torch.autocast("cpu", enabled=False):
        currents = arriving @ rows
    expected = advance_events(currents, *start, theta, dynamics)
    return all(
        torch.equal(got[0], expected[0]) and torch.allclose(got[1], expected[1], atol=1e-5)
        for got in (
            found.advance(arriving, rows, *start, theta, dynamics),
            found.advance(currents, None, *start, theta, dynamics),
        )
    )
