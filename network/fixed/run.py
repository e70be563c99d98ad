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
from network.fixed.plan import Current, Fire, NotFixedPoint, Pool, Reshape
from network.fixed.static import static_values
from network.neurons import Reset
from network.unroll import INFERENCE_CHUNK, call_node, channels_last


class SpikeTap(Protocol):
    """Watches the spikes of a run. `first` is the number of steps that came before the chunk."""

    def inputs(self, first: int, inputs: Tensor) -> None:
        """Encoded input of a chunk, [steps, B, ...] (steps = 1, once, where it is static)."""

    def count(self, name: str, first: int, spikes: Tensor) -> None:
        """One layer of neurons in one chunk: spikes [steps, B, ...], uint8 of 0 and 1."""


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
    run = _Run(network, images, timesteps, keys, tuple(taps))
    size = chunk or INFERENCE_CHUNK
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


class _Run:
    def __init__(
        self,
        network: FixedPointNetwork,
        images: Tensor,
        timesteps: int,
        keys: Tensor | None,
        taps: tuple[SpikeTap, ...],
    ) -> None:
        self.body, self.plan = network.body, network.plan
        self.encoding = ENCODINGS.get(network.encoding)
        self.images, self.keys, self.taps = images, keys, taps
        self.timesteps, self.batch = timesteps, len(images)
        self.input_name = next(n.name for n in self.body.graph.nodes if n.op == "placeholder")
        self.potentials: dict[str, Tensor] = {}
        self.step_bounds: dict[str, float] = {}
        self.constants: dict[str, Tensor | None] = {}
        self.static: dict[str, Tensor] = {}
        if self.encoding.static:
            self.static = static_values(self.body, self.plan.static, images)
            for tap in taps:
                tap.inputs(0, images.unsqueeze(0))

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
        constant = self._constant("output", output.current)
        return (total if constant is None else total + constant) * output.sigma

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

    def _constant(self, name: str, current: Current) -> Tensor | None:
        """What is added at every step, int32 [B, ...], computed at the first."""
        if name not in self.constants:
            self.constants[name] = self._rounded(current)
        return self.constants[name]

    def _rounded(self, current: Current) -> Tensor | None:
        total = current.shift
        for name in current.static:
            total = total + self.static[name]
        if not current.static and not total.any():
            return None
        whole = (total / current.sigma).round()
        if whole.abs().max() >= LIMIT / 4:
            raise NotFixedPoint("a current that does not change with the step passes 28 bits")
        whole = whole.expand(self.batch, *whole.shape[1:]).to(torch.int32)
        return channels_last(whole)

    def _fire(self, layer: Fire, values: dict[str, Any], first: int, steps: int) -> Tensor:
        parts = self._arriving(layer.current, values, steps)
        constant = self._constant(layer.name, layer.current)
        if constant is not None:
            parts.append(Part(constant.unsqueeze(0).expand(steps, *constant.shape), 1))
        v = self._potential(layer, constant)
        size = (steps * self.batch, *layer.theta.shape[1:])
        spikes = _empty(size, torch.uint8, v.device).unflatten(0, (steps, self.batch))
        advance_whole(parts, v, layer.theta, layer.reset, spikes)
        self._guard(layer, v, steps)
        for tap in self.taps:
            tap.count(layer.name, first, spikes)
        return spikes.flatten(0, 1)

    def _potential(self, layer: Fire, constant: Tensor | None) -> Tensor:
        if layer.name not in self.potentials:
            v = _empty((self.batch, *layer.theta.shape[1:]), torch.int32, layer.theta.device)
            self.potentials[layer.name] = v.copy_(layer.start)
            step = layer.current.step_bound
            if constant is not None:
                step += float(constant.abs().max())
            self.step_bounds[layer.name] = step
        return self.potentials[layer.name]

    def _guard(self, layer: Fire, v: Tensor, steps: int) -> None:
        """int32 cannot have wrapped: potentials and the change of a chunk stay below 2³⁰."""
        step = self.step_bounds[layer.name]
        if self.timesteps * step + float(layer.start.abs().max()) < LIMIT:
            return
        if steps * step >= LIMIT or v.abs().max() >= LIMIT:
            raise NotFixedPoint(f"potentials of {layer.name} pass 30 bits")


def advance_whole(
    parts: Sequence[Part], v: Tensor, theta: Tensor, reset: Reset, spikes: Tensor
) -> None:
    """v ← v + z; s = v ≥ θ; v ← v − θ·s (soft) or v·(1 − s) (hard), for every t.

    v [B, ...] and theta [1, ...] are int32. v and spikes, uint8 [T, B, ...], are written.
    """
    fired, whole = torch.empty_like(v), torch.empty_like(v)
    for t in range(len(spikes)):
        for part in parts:
            part.add_onto(v, t, whole)
        torch.ge(v, theta, out=fired)
        v.addcmul_(fired, theta if reset == "soft" else v, value=-1)
        spikes[t].copy_(fired)


def _empty(size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Laid out with channels last, also where there is one channel."""
    layout = torch.channels_last if len(size) == 4 else torch.contiguous_format
    return torch.empty(size, dtype=dtype, device=device, memory_format=layout)
