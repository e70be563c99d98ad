"""The loop over time in whole numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, fx

from network.encodings import ENCODINGS
from network.fixed.integers import LIMIT, Sum
from network.fixed.network import FixedPointNetwork
from network.fixed.plan import Current, Fire, NotFixedPoint, Pool, Reshape
from network.fixed.static import static_values
from network.neurons import NeuronState, Reset
from network.unroll import INFERENCE_CHUNK, Tap, call_node, channels_last


@torch.no_grad()
def unroll_fixed(
    network: FixedPointNetwork,
    images: Tensor,
    timesteps: int,
    *,
    keys: Tensor | None = None,
    chunk: int | None = None,
    taps: Iterable[Tap] = (),
) -> Tensor:
    """As `network.unroll.unroll`, in whole numbers: outputs of every step, float64 [T, B, K].

    Taps see spikes as uint8 of height 1 and currents and potentials in units of each layer's σ.
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


class _Run:
    def __init__(
        self,
        network: FixedPointNetwork,
        images: Tensor,
        timesteps: int,
        keys: Tensor | None,
        taps: tuple[Tap, ...],
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
        output = self.plan.output
        if output.current is None:
            whole = values[str(output.source)].unflatten(0, (steps, self.batch))
        else:
            arriving = self._arriving(output.current, values)
            if arriving is not None:
                arriving = arriving.unflatten(0, (steps, self.batch))
            whole = _whole_current(arriving, self._constant("output", output.current), steps)
        return whole.double() * output.sigma

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

    def _arriving(self, current: Current, values: dict[str, Any]) -> Tensor | None:
        """Weights and shortcuts of one chunk as whole numbers [steps·B, ...], of any type."""
        total = _sum(current.sum, values)
        for identity in current.identities:
            spikes = values[identity.source].to(torch.int32)
            if total is None:
                total = spikes * identity.per_spike
            else:
                total = total.to(torch.int32).addcmul_(spikes, identity.per_spike)
        return total

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
        arriving = self._arriving(layer.current, values)
        constant = self._constant(layer.name, layer.current)
        if arriving is not None:
            arriving = arriving.unflatten(0, (steps, self.batch))
        v = self._potential(layer, constant)
        size = (steps * self.batch, *layer.theta.shape[1:])
        spikes = _empty(size, torch.uint8, v.device).unflatten(0, (steps, self.batch))
        advance_whole(arriving, constant, v, layer.theta, layer.reset, spikes)
        self._guard(layer, v, steps)
        for tap in self.taps:
            current = _whole_current(arriving, constant, steps)
            tap.neurons(layer.name, first, current, spikes, NeuronState(v))
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
    arriving: Tensor | None,
    constant: Tensor | None,
    v: Tensor,
    theta: Tensor,
    reset: Reset,
    spikes: Tensor,
) -> None:
    """v ← v + z; s = v ≥ θ; v ← v − θ·s (soft) or v·(1 − s) (hard), for every t.

    arriving [T, B, ...], constant, v [B, ...] and theta [1, ...] are whole numbers, v and theta
    int32. v and spikes (uint8 [T, B, ...]) are written.
    """
    fired, whole = torch.empty_like(v), torch.empty_like(v)
    for t in range(len(spikes)):
        if arriving is not None:
            v.add_(whole.copy_(arriving[t]))
        if constant is not None:
            v.add_(constant)
        torch.ge(v, theta, out=fired)
        v.addcmul_(fired, theta if reset == "soft" else v, value=-1)
        spikes[t].copy_(fired)


def _sum(total: Sum | None, values: dict[str, Any]) -> Tensor | None:
    if total is None:
        return None
    result: Tensor | None = None
    for term in total.terms:
        x = values[term.source]
        if total.chained:
            result = term.operator(x, result)
            continue
        whole = term.operator(x).to(torch.int32).mul_(term.factor)
        result = whole if result is None else result.add_(whole)
    return result


def _whole_current(arriving: Tensor | None, constant: Tensor | None, steps: int) -> Tensor:
    if constant is None:
        assert arriving is not None
        return arriving
    repeated = constant.unsqueeze(0).expand(steps, *constant.shape)
    return repeated if arriving is None else arriving + repeated


def _empty(size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Laid out with channels last, also where there is one channel."""
    layout = torch.channels_last if len(size) == 4 else torch.contiguous_format
    return torch.empty(size, dtype=dtype, device=device, memory_format=layout)
