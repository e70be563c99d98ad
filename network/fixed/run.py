"""The loop over time in whole numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, fx

from network.chunks import INFERENCE_CHUNK, check_run
from network.encodings import ENCODINGS
from network.fixed.firing import Membrane, dense_parts, fire_by_kernel, fire_plainly
from network.fixed.integers import LIMIT
from network.fixed.network import FixedPointNetwork
from network.fixed.plan import Current, Fire, Flatten, NotFixedPoint, Pool, Reshape
from network.fixed.pooling import KernelTotals, PooledTotals, max_pooling_of
from network.fixed.static import static_values
from network.layout import channels_last
from network.nodes import call_node
from network.taps import Counts


class SpikeTap(Protocol):
    """Watches the spikes of a run. `first` is the number of steps that came before the chunk."""

    def inputs(self, first: int, inputs: Tensor) -> None:
        """Encoded input of a chunk, [steps, B, ...] (steps = 1, once, where it is static)."""

    def count(self, name: str, first: int, spikes: Tensor, places: Tensor | None) -> None:
        """One layer of neurons in one chunk: spikes [steps, B, ...], uint8 of 0 and 1.

        places: how many of them by place, over all images and channels, int64 [steps, H·W] (one
        place where there is no map); None where they were not counted on the way.
        The tensors are written again after the call.
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
    held: Counter[str] | None = None,
) -> Tensor:
    """As `network.unroll.unroll`, in whole numbers: outputs of every step, float64 [T, B, K].

    keys, chunk: as there; chunk defaults to 4.
    Potentials are held between −2³⁰ and 2³⁰; held counts, by layer, those that stood there after
    the last step (of all images: it is added to).
    Raises NotFixedPoint where a constant current is too large for whole numbers.
    """
    check_run(timesteps, images, keys)
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    observation = network.source.observation
    observed = 0 if observation is None else observation.steps
    size = min(chunk or INFERENCE_CHUNK, max(observed, timesteps))
    run = _Run(network, images, observed, timesteps, size, keys, tuple(taps))
    run.observe()
    firsts = range(0, timesteps, size)
    outputs = torch.cat([run.chunk(first, min(size, timesteps - first)) for first in firsts])
    if held is not None:
        held.update(run.held())
    return outputs


class _Run:
    def __init__(
        self,
        network: FixedPointNetwork,
        images: Tensor,
        observed: int,
        timesteps: int,
        chunk: int,
        keys: Tensor | None,
        taps: tuple[SpikeTap, ...],
    ) -> None:
        self.body, self.plan = network.body, network.plan
        self.kernel = self.plan.arithmetic.kernel  # None where PyTorch does everything
        self.encoding = ENCODINGS.get(network.encoding)
        self.images, self.keys, self.taps = images, keys, taps
        self.observed, self.size, self.batch = observed, chunk, len(images)
        self.steps = observed + timesteps
        self.input_name = next(n.name for n in self.body.graph.nodes if n.op == "placeholder")
        self.static: dict[str, Tensor] = {}
        if self.encoding.static:
            self.static = static_values(self.body, self.plan.static, images)
            for tap in taps:
                tap.inputs(0, images.unsqueeze(0))
        layers = [layer for layer in self.plan.instructions if isinstance(layer, Fire)]
        self.membranes = {layer.name: self._membrane(layer) for layer in layers}
        output = self.plan.output.current
        self.output_constant = None if output is None else self._constant(output)

    def observe(self) -> None:
        """The steps before the counted ones, which come at −observed … −1."""
        taps = self.taps
        self.taps = tuple(tap.before() for tap in taps if isinstance(tap, Counts))
        for first in range(-self.observed, 0, self.size):
            self.chunk(first, min(self.size, -first))
        self.taps = taps

    def chunk(self, first: int, steps: int) -> Tensor:
        """Outputs [steps, B, K] of the steps first … first+steps−1."""
        values: dict[str, Any] = dict(self.static)
        shares: dict[str, float] = {}  # of the numbers of a value, how many spikes in a step
        if not self.encoding.static:
            spikes = self._input_spikes(first, steps)
            values[self.input_name] = spikes
            shares[self.input_name] = float(spikes.count_nonzero()) / spikes.numel()
        for instruction in self.plan.instructions:
            if isinstance(instruction, Fire):
                name = instruction.name
                values[name], shares[name] = self._fire(instruction, values, shares, first, steps)
            elif isinstance(instruction, Pool):
                name, source = instruction.name, instruction.source
                values[name] = instruction.pool(values[source], instruction.largest)
                shares[name] = shares[source] * instruction.pool.numbers
            elif isinstance(instruction, Flatten):
                last = values[instruction.source].permute(0, 2, 3, 1)
                values[instruction.name] = last.reshape(len(last), -1)
                shares[instruction.name] = shares[instruction.source]
            else:
                name, names = instruction.node.name, instruction.names.values()
                values[name] = self._reshape(instruction, values)
                shares[name] = max((shares[n] for n in names if n in shares), default=1.0)
        return self._output(values, steps)

    def held(self) -> dict[str, int]:
        """How many potentials stand at the limit, by layer, where any do and could come back."""
        fires = [i for i in self.plan.instructions if isinstance(i, Fire) and not i.current.alone]
        limited = {i.name: m for i in fires if (m := self.membranes[i.name]).limit}
        counts = {n: int((m.v.abs() >= m.limit).sum()) for n, m in limited.items()}
        return {name: count for name, count in counts.items() if count}

    def _output(self, values: dict[str, Any], steps: int) -> Tensor:
        output = self.plan.output
        if output.current is None:
            return values[str(output.source)].unflatten(0, (steps, self.batch)) * output.sigma
        total = torch.zeros((), dtype=torch.float64)
        for part in dense_parts(output.current, values, steps):
            total = total + part.numbers.double() * part.factor
        if self.output_constant is not None:
            total = total + self.output_constant
        return total * output.sigma

    def _input_spikes(self, first: int, steps: int) -> Tensor:
        start = self.observed + first
        encoded = self.encoding.encode(self.images, start, steps, self.keys).to(torch.uint8)
        for tap in self.taps:
            tap.inputs(first, encoded.unflatten(0, (steps, self.batch)))
        return channels_last(encoded)

    def _reshape(self, instruction: Reshape, values: dict[str, Any]) -> Any:
        node = instruction.node
        args, kwargs = fx.map_arg(
            (node.args, node.kwargs), lambda n: values[instruction.names[n.name]]
        )
        return call_node(self.body, node, args, kwargs)

    def _constant(self, current: Current) -> Tensor | None:
        """What is added at every step, int32 [B, ...]; None where there is nothing."""
        total = current.shift.clone()
        for name in current.static:
            total = total + self.static[name]
        if not current.static and not total.any():
            return None
        total = total.div_(current.sigma).round_()
        if current.alone:
            total.clamp_(-LIMIT // 2, LIMIT // 2)  # past all θ and starts: no spike changes
        elif _magnitude(total) >= LIMIT / 4:
            raise NotFixedPoint("a current that does not change with the step passes 28 bits")
        shape = (self.batch, *total.shape[1:])
        return _empty(shape, torch.int32, total.device).copy_(total.expand(shape))

    def _membrane(self, layer: Fire) -> Membrane:
        """A layer's state before the first step."""
        constant = self._constant(layer.current)
        step = layer.current.step_bound + (0.0 if constant is None else _magnitude(constant))
        if step >= LIMIT:
            raise NotFixedPoint(f"currents of {layer.name} pass 30 bits")
        reach = self.steps * step + _magnitude(layer.start)
        v = _empty((self.batch, *layer.theta.shape[1:]), torch.int32, layer.theta.device)
        v.copy_(layer.start)
        places = v[0, 0].numel()
        return Membrane(
            v,
            constant,
            _empty((self.size * self.batch, *v.shape[1:]), torch.uint8, v.device),
            torch.empty(self.size, self.batch, places, dtype=torch.int32, device=v.device),
            LIMIT if reach >= LIMIT else 0,
            self._pooled(layer.current),
        )

    def _pooled(self, current: Current) -> PooledTotals | KernelTotals | None:
        """The state of max pooling; in the kernel where that does its windows."""
        if current.pool is None:
            return None
        pooling = max_pooling_of(current.pool.pool, *current.sigma.shape[2:])
        if self.kernel is None or pooling is None:
            return PooledTotals(current.pool)
        totals = _empty((self.batch, *current.sigma.shape[1:]), torch.int64, current.sigma.device)
        return KernelTotals(pooling, totals.zero_())

    def _fire(
        self,
        layer: Fire,
        values: dict[str, Any],
        shares: dict[str, float],
        first: int,
        steps: int,
    ) -> tuple[Tensor, float]:
        """Spikes of the chunk, uint8 [steps·B, ...], and how many of the neurons they are."""
        membrane = self.membranes[layer.name]
        spikes = membrane.spikes[: steps * self.batch]
        places, share = None, 1.0
        if self.kernel is None:
            fire_plainly(layer, membrane, values, steps)
        else:
            fire_by_kernel(self.kernel, layer, membrane, values, shares, steps)
            places = membrane.counts[:steps].sum(1)
            share = float(places.sum()) / spikes.numel()
        for tap in self.taps:
            tap.count(layer.name, first, spikes.unflatten(0, (steps, self.batch)), places)
        return spikes, share


def _magnitude(x: Tensor) -> float:
    low, high = torch.aminmax(x)
    return max(-low.item(), high.item())


def _empty(size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Laid out with channels last, also where there is one channel."""
    layout = torch.channels_last if len(size) == 4 else torch.contiguous_format
    return torch.empty(size, dtype=dtype, device=device, memory_format=layout)
