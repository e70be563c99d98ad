"""The loop over time in whole numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, fx

from network.encodings import ENCODINGS
from network.fixed.integers import LIMIT
from network.fixed.network import FixedPointNetwork
from network.fixed.plan import Current, Fire, Flatten, NotFixedPoint, Pool, Reshape
from network.fixed.static import static_values
from network.unroll import INFERENCE_CHUNK, call_node, channels_last


class SpikeTap(Protocol):
    """Watches the spikes of a run. `first` is the number of steps that came before the chunk."""

    def inputs(self, first: int, inputs: Tensor) -> None:
        """Encoded input of a chunk, [steps, B, ...] (steps = 1, once, where it is static)."""

    def count(self, name: str, first: int, spikes: Tensor) -> None:
        """One layer of neurons in one chunk: spikes [steps, B, ...], uint8 of 0 and 1.

        The tensor is written again after the call.
        """


@torch.no_grad()
def unroll_fixed(
    network: FixedPointNetwork,
    images: Tensor,
    timesteps: int,
    *,
    keys: Tensor | None = None,
    chunk: int | None = None,
    taps: Iterable[SpikeTap] = (),
) -> Tensor:
    """As `network.unroll.unroll`, in whole numbers: outputs of every step, float64 [T, B, K].

    keys, chunk: as there; chunk defaults to 4.
    Raises NotFixedPoint where a potential passes 2³⁰.
    """
    if timesteps < 1:
        raise ValueError(f"timesteps must be at least 1, got {timesteps}")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    size = min(chunk or INFERENCE_CHUNK, timesteps)
    run = _Run(network, images, timesteps, size, keys, tuple(taps))
    outputs = [
        run.chunk(first, min(size, timesteps - first)) for first in range(0, timesteps, size)
    ]
    return torch.cat(outputs)


@dataclass(frozen=True)
class Part:
    """One thing that adds to a current: whole numbers [T, B, ...] of any type, times a factor."""

    numbers: Tensor
    factor: int | Tensor

    def add_onto(self, v: Tensor, t: int, scratch: Tensor) -> None:
        """v += factor · numbers[t] in int32; scratch is as large as v."""
        numbers = self.numbers[t]
        whole = numbers if numbers.dtype == torch.int32 else scratch.copy_(numbers)
        if isinstance(self.factor, Tensor):
            v.addcmul_(whole, self.factor)
        else:
            v.add_(whole, alpha=self.factor)


@dataclass(frozen=True)
class _Membrane:
    """State of one layer within one run, and what is allocated once for it.

    v: potential, int32 [B, ...]. constant: added at every step, int32 [B, ...].
    spikes: of one chunk, uint8 [steps·B, ...]. watched: v could pass 2³⁰ within the run.
    """

    v: Tensor
    constant: Tensor | None
    spikes: Tensor
    scratch: tuple[Tensor, Tensor]
    watched: bool


class _Run:
    def __init__(
        self,
        network: FixedPointNetwork,
        images: Tensor,
        timesteps: int,
        chunk: int,
        keys: Tensor | None,
        taps: tuple[SpikeTap, ...],
    ) -> None:
        self.body, self.plan = network.body, network.plan
        self.encoding = ENCODINGS.get(network.encoding)
        self.images, self.keys, self.taps = images, keys, taps
        self.timesteps, self.batch = timesteps, len(images)
        self.input_name = next(n.name for n in self.body.graph.nodes if n.op == "placeholder")
        self.static: dict[str, Tensor] = {}
        if self.encoding.static:
            self.static = static_values(self.body, self.plan.static, images)
            for tap in taps:
                tap.inputs(0, images.unsqueeze(0))
        self.membranes = {
            layer.name: self._membrane(layer, chunk)
            for layer in self.plan.instructions
            if isinstance(layer, Fire)
        }
        output = self.plan.output.current
        self.output_constant = None if output is None else self._constant(output)

    def chunk(self, first: int, steps: int) -> Tensor:
        """Outputs [steps, B, K] of the steps first … first+steps−1."""
        values: dict[str, Any] = dict(self.static)
        if not self.encoding.static:
            values[self.input_name] = self._input_spikes(first, steps)
        for instruction in self.plan.instructions:
            if isinstance(instruction, Fire):
                values[instruction.name] = self._fire(instruction, values, first, steps)
            elif isinstance(instruction, Pool):
                values[instruction.name] = instruction.pool(
                    values[instruction.source], instruction.largest
                )
            elif isinstance(instruction, Flatten):
                last = values[instruction.source].permute(0, 2, 3, 1)
                values[instruction.name] = last.reshape(len(last), -1)
            else:
                values[instruction.node.name] = self._reshape(instruction, values)
        return self._output(values, steps)

    def _output(self, values: dict[str, Any], steps: int) -> Tensor:
        output = self.plan.output
        if output.current is None:
            return values[str(output.source)].unflatten(0, (steps, self.batch)) * output.sigma
        total = torch.zeros((), dtype=torch.float64)
        for part in self._arriving(output.current, values, steps):
            total = total + part.numbers.double() * part.factor
        if self.output_constant is not None:
            total = total + self.output_constant
        return total * output.sigma

    def _input_spikes(self, first: int, steps: int) -> Tensor:
        encoded = self.encoding.encode(self.images, first, steps, self.keys).to(torch.uint8)
        for tap in self.taps:
            tap.inputs(first, encoded.unflatten(0, (steps, self.batch)))
        return channels_last(encoded)

    def _reshape(self, instruction: Reshape, values: dict[str, Any]) -> Any:
        node = instruction.node
        args, kwargs = fx.map_arg(
            (node.args, node.kwargs), lambda n: values[instruction.names[n.name]]
        )
        return call_node(self.body, node, args, kwargs)

    def _arriving(self, current: Current, values: dict[str, Any], steps: int) -> list[Part]:
        """What weights and shortcuts add in one chunk."""
        parts: list[Part] = []
        for term in () if current.sum is None else current.sum.terms:
            result = term.operator(values[term.source])
            parts.append(Part(result.unflatten(0, (steps, self.batch)), term.factor))
        for identity in current.identities:
            spikes = values[identity.source].unflatten(0, (steps, self.batch))
            parts.append(Part(spikes, identity.per_spike))
        return parts

    def _constant(self, current: Current) -> Tensor | None:
        """What is added at every step, int32 [B, ...]; None where there is nothing."""
        total = current.shift.clone()
        for name in current.static:
            total = total + self.static[name]
        if not current.static and not total.any():
            return None
        total = total.div_(current.sigma).round_()
        if current.alone:
            total.clamp_(-LIMIT // 8, LIMIT // 8)  # above all θ, or below: no spike changes
        elif _magnitude(total) >= LIMIT / 4:
            raise NotFixedPoint("a current that does not change with the step passes 28 bits")
        shape = (self.batch, *total.shape[1:])
        return _empty(shape, torch.int32, total.device).copy_(total.expand(shape))

    def _membrane(self, layer: Fire, chunk: int) -> _Membrane:
        """A layer's state before the first step."""
        constant = self._constant(layer.current)
        v = _empty((self.batch, *layer.theta.shape[1:]), torch.int32, layer.theta.device)
        v.copy_(layer.start)
        step = layer.current.step_bound + (0.0 if constant is None else _magnitude(constant))
        if chunk * step >= LIMIT:
            raise NotFixedPoint(f"currents of {layer.name} pass 30 bits within a chunk")
        return _Membrane(
            v,
            constant,
            _empty((chunk * self.batch, *v.shape[1:]), torch.uint8, v.device),
            (torch.empty_like(v), torch.empty_like(v)),
            watched=self.timesteps * step + _magnitude(layer.start) >= LIMIT,
        )

    def _fire(self, layer: Fire, values: dict[str, Any], first: int, steps: int) -> Tensor:
        membrane = self.membranes[layer.name]
        parts = self._arriving(layer.current, values, steps)
        if membrane.constant is not None:
            parts.append(Part(membrane.constant.unsqueeze(0).expand(steps, *membrane.v.shape), 1))
        spikes = membrane.spikes[: steps * self.batch]
        by_step = spikes.unflatten(0, (steps, self.batch))
        advance_whole(parts, membrane.v, layer, by_step, membrane.scratch)
        if membrane.watched and layer.current.alone:
            membrane.v.clamp_(-LIMIT // 2, LIMIT // 2)  # it never comes back from there
        elif membrane.watched and _magnitude(membrane.v) >= LIMIT:
            raise NotFixedPoint(f"potentials of {layer.name} pass 30 bits")
        for tap in self.taps:
            tap.count(layer.name, first, by_step)
        return spikes


def advance_whole(
    parts: Sequence[Part],
    v: Tensor,
    layer: Fire,
    spikes: Tensor,
    scratch: tuple[Tensor, Tensor],
) -> None:
    """v ← v + z; s = v ≥ θ; v ← v − θ·s (soft) or v·(1 − s) (hard), for every t.

    v, int32 [B, ...], and spikes, uint8 [T, B, ...], are written; scratch: two tensors as v.
    """
    fired, whole = scratch
    for t in range(len(spikes)):
        for part in parts:
            part.add_onto(v, t, whole)
        torch.ge(v, layer.theta, out=fired)
        v.addcmul_(fired, layer.theta if layer.reset == "soft" else v, value=-1)
        spikes[t].copy_(fired)


def _magnitude(x: Tensor) -> float:
    low, high = torch.aminmax(x)
    return max(-low.item(), high.item())


def _empty(size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Laid out with channels last, also where there is one channel."""
    layout = torch.channels_last if len(size) == 4 else torch.contiguous_format
    return torch.empty(size, dtype=dtype, device=device, memory_format=layout)
