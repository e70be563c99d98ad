"""One layer of neurons through the steps of a chunk: in the C kernel, or in plain PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from network.fixed.integers import Drive
from network.fixed.parts import Part
from network.fixed.plan import Current, Fire
from network.fixed.pooling import KernelTotals, PooledTotals
from network.fused import on_cuda
from network.sums import Kernel, Layer, Reading


@dataclass(frozen=True)
class Membrane:
    """State of one layer within one run, and what is allocated once for it.

    v: potential, int32 [B, ...]. constant: added at every step, int32 [B, ...], in front of
    pooling where there is any. pooled: the state of that pooling.
    spikes: of one chunk, uint8 [steps·B, ...]. counts: spikes of one chunk by place,
    int32 [steps, B, places], which the kernel fills. limit: v, which could pass it within the
    run, is held between −limit and limit after every step; 0 where it could not.
    """

    v: Tensor
    constant: Tensor | None
    spikes: Tensor
    counts: Tensor
    limit: int
    pooled: PooledTotals | KernelTotals | None = None


def dense_parts(current: Current, values: Mapping[str, Any], steps: int) -> list[Part]:
    """What weights and shortcuts add in one chunk."""
    parts: list[Part] = []
    for drive in () if current.sum is None else current.sum.drives:
        for term in drive.terms:
            result = term.operator(values[drive.source])
            parts.append(Part(result.unflatten(0, (steps, -1)), term.factor))
    for identity in current.identities:
        spikes = values[identity.source].unflatten(0, (steps, -1))
        parts.append(Part(spikes, identity.per_spike))
    return parts


def fire_plainly(layer: Fire, membrane: Membrane, values: Mapping[str, Any], steps: int) -> None:
    """One chunk in PyTorch alone: membrane.v is advanced, membrane.spikes is written."""
    v = membrane.v
    parts = _parts(layer, membrane, values, steps)
    spikes = membrane.spikes[: steps * len(v)].unflatten(0, (steps, len(v)))
    advance_whole(parts, v, layer, spikes, membrane.limit)


def _parts(layer: Fire, membrane: Membrane, values: Mapping[str, Any], steps: int) -> list[Part]:
    """What arrives at the neurons in one chunk."""
    parts = dense_parts(layer.current, values, steps)
    constant = membrane.constant
    if constant is not None:
        parts.append(Part(constant.unsqueeze(0).expand(steps, *constant.shape), 1))
    return [membrane.pooled.advance(parts)] if isinstance(membrane.pooled, PooledTotals) else parts


def advance_whole(
    parts: Sequence[Part], v: Tensor, layer: Fire, spikes: Tensor, limit: int = 0
) -> None:
    """v ← v + z; s = v ≥ θ; v ← v − θ·s (soft) or v·(1 − s) (hard), for every t.

    v, int32 [B, ...], and spikes, uint8 [T, B, ...], are written. limit: as in Membrane.
    """
    if on_cuda.run_on(v) and 1 <= len(parts) <= on_cuda.MOST_PARTS:
        given = [(part.numbers, part.factor) for part in parts]
        on_cuda.whole(v, layer.theta, given, spikes, layer.reset == "hard", limit)
        return
    fired, whole = torch.empty_like(v), torch.empty_like(v)
    for t in range(len(spikes)):
        for part in parts:
            part.add_onto(v, t, whole)
        torch.ge(v, layer.theta, out=fired)
        v.addcmul_(fired, layer.theta if layer.reset == "soft" else v, value=-1)
        if limit:
            v.clamp_(-limit, limit)
        spikes[t].copy_(fired)


def fire_by_kernel(
    kernel: Kernel,
    layer: Fire,
    membrane: Membrane,
    values: Mapping[str, Any],
    shares: Mapping[str, float],
    steps: int,
) -> None:
    """One chunk; also writes membrane.counts.

    shares: of the inputs of a source, how many spike in a step: above a drive's limit its
    dense operators run.
    """
    batch, pooled = len(membrane.v), membrane.pooled
    theta = layer.theta.flatten(2)[0, :, 0] if layer.theta.ndim == 4 else layer.theta[0]
    task = Layer(
        v=membrane.v,
        theta=theta,
        bias=torch.zeros_like(theta),
        constant=None if isinstance(pooled, PooledTotals) else membrane.constant,
        spikes=membrane.spikes[: steps * batch],
        counts=membrane.counts[:steps],
        hard=layer.reset == "hard",
        limit=membrane.limit,
    )
    if isinstance(pooled, KernelTotals):
        task.pooling, task.totals = pooled.pooling, pooled.totals
    elif pooled is not None:
        (part,) = _parts(layer, membrane, values, steps)
        task.results.append((part.numbers.flatten(0, 1), 1))
        kernel.run(task, torch.get_num_threads())
        return
    total = layer.current.sum
    for drive in () if total is None else total.drives:
        if total is not None and shares[drive.source] <= drive.limit:
            task.readings.append(Reading(values[drive.source], drive.rows, drive.largest))
            if drive is total.drives[0]:
                task.bias = total.added
        else:
            task.results += _dense(drive, values[drive.source])
    for identity in layer.current.identities:
        task.shortcuts.append((values[identity.source], identity.per_spike))
    kernel.run(task, torch.get_num_threads())


def _dense(drive: Drive, spikes: Tensor) -> list[tuple[Tensor, int]]:
    return [(term.operator(spikes), term.factor) for term in drive.terms]
