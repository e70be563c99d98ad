"""The only loop over time.

A `SpikingNetwork` is a traced network whose activations are neurons. `unroll` works through T in
chunks: ordinary layers see [steps·B, ...], neurons [steps, B, ...] with the state carried from
chunk to chunk in a local variable. What does not depend on the step (everything in front of the
first neurons, for a constant input) is computed once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, fx, nn

from network.chunks import by_steps, check_chunk, check_run, refuse_nan, steps_at_once
from network.encodings import ENCODINGS
from network.graph import Kind, kind_of, layers, reads_input
from network.layout import channels_last
from network.neurons import Neuron, NeuronState
from network.nodes import call_node, owners_of_currents, static_nodes
from network.observation import Observation, Prepare
from network.pooling import PooledCurrent, PooledState
from network.readouts import MEMBRANE_DECAY, READOUTS
from network.saved import Origin, holds_spikes, mark_spikes, origin_of, spikes_kept_as_bytes
from network.sums.currents import EventSums
from network.taps import Counts, LayerTap, ReadsNoCurrents, Tap


class SpikingNetwork(nn.Module):
    """A traced network with neurons, its input encoding and its readout.

    encoding, readout: names in ENCODINGS and READOUTS. readout_decay: exp(−1/τ) of `membrane`.
    """

    def __init__(
        self,
        body: fx.GraphModule,
        *,
        encoding: str = "constant",
        readout: str = "mean-current",
        readout_decay: float = MEMBRANE_DECAY,
        observation: Observation | None = None,
    ) -> None:
        super().__init__()
        ENCODINGS.get(encoding)
        READOUTS.get(readout)
        self.body = body
        self.encoding = encoding
        self.readout, self.readout_decay = readout, readout_decay
        self.observation = observation

    def neurons(self) -> dict[str, Neuron]:
        """Neuron layers by name, in order of execution."""
        found = layers(self.body, Kind.NEURON)
        return {node.name: module for node, module in found if isinstance(module, Neuron)}

    def forward(self, images: Tensor, timesteps: int, keys: Tensor | None = None) -> Tensor:
        """Class scores after every step, [T, B, K], as `unroll`; ValueError for images with NaN."""
        refuse_nan(images)
        return self.read(unroll(self, images, timesteps, keys=keys))

    def read(self, outputs: Tensor) -> Tensor:
        """Outputs of every step [T, B, K] to scores at every step [T, B, K].

        At least in float32: a readout adds up over time what bfloat16 would round at every step.
        """
        outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
        return READOUTS.get(self.readout)(outputs, self.readout_decay)


def unroll(
    network: SpikingNetwork,
    images: Tensor,
    timesteps: int,
    *,
    keys: Tensor | None = None,
    chunk: int | None = None,
    taps: Iterable[Tap] = (),
    events: bool = False,
) -> Tensor:
    """Run the network for `timesteps` steps; outputs of every step [T, B, K].

    images: [B, C, H, W], recordings [B, T, C, H, W].
    keys: int64 [B], one per image, for encodings that draw random numbers.
    chunk: steps worked through at once (default: all of them with a graph, else up to 4, fewer
        where maps are large); it changes the last bits of float32 sums at most.
    taps: what watches inputs and neurons, chunk by chunk.
    events: without a graph, sum weights over the spikes where these are few and a C compiler is
        here: the same numbers apart from the order of float32 rounding.

    Raises ValueError for timesteps or a chunk below 1, a chunk below T where gradients are wanted,
    keys that are missing or not one per image, or too few frames.
    """
    check_run(timesteps, images, keys)
    if chunk is not None:
        slopes = any(neuron.slope is not None for neuron in network.neurons().values())
        check_chunk(chunk, timesteps, graph=slopes and torch.is_grad_enabled())
    run = _Run(network, images, keys, tuple(taps), events and not torch.is_grad_enabled())
    observed = 0
    if network.observation is not None:
        observed = network.observation.steps
        run.observe(network.observation)
    size = chunk or (timesteps if torch.is_grad_enabled() else None)
    outputs, first = [], 0
    with spikes_kept_as_bytes():
        while first < timesteps:
            steps = size or steps_at_once(run.largest, images.device)
            outputs.append(run.chunk(first, min(steps, timesteps - first), offset=observed))
            first += steps
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def observe(
    network: SpikingNetwork, images: Tensor, observation: Observation, *, keys: Tensor | None = None
) -> None:
    """Run the steps of an observation alone, on images [B, ...]."""
    _Run(network, images, keys, (), events=False).observe(observation)


class _Run:
    """One unroll: the state of every neuron, and what is computed once."""

    def __init__(
        self,
        network: SpikingNetwork,
        images: Tensor,
        keys: Tensor | None,
        taps: tuple[Tap, ...],
        events: bool,
    ) -> None:
        self.body = network.body
        self.encoding = ENCODINGS.get(network.encoding)
        self.images, self.keys, self.taps = images, keys, taps
        self.layer_taps = [tap for tap in taps if isinstance(tap, LayerTap)]
        self.batch = images.shape[0]
        self.modules = dict(self.body.named_modules())
        self.of_images = reads_input(self.body)
        self.kinds = {node: kind_of(self.body, node) for node in self.body.graph.nodes}
        self.last_reader = {
            argument: node for node in self.body.graph.nodes for argument in node.all_input_nodes
        }
        self.static = static_nodes(self.body) if self.encoding.static else set()
        read = torch.is_grad_enabled() or not all(isinstance(tap, ReadsNoCurrents) for tap in taps)
        self.owners = set() if read else owners_of_currents(self.body, self.static)
        self.states: dict[str, NeuronState] = {}
        self.pooled: dict[str, PooledState] = {}
        self.masks: dict[str, Tensor] = {}
        self.once: dict[fx.Node, Any] = {}
        self.origins: dict[fx.Node, Origin] = {}
        self.sums = EventSums() if events else None
        self.prepare: Prepare | None = None
        self.largest = 0  # bytes of the largest current of one step

    def observe(self, observation: Observation) -> None:
        taps, self.prepare = (self.taps, self.layer_taps), observation.prepare
        self.taps = tuple(tap.before() for tap in self.taps if isinstance(tap, Counts))
        self.layer_taps = [tap for tap in self.taps if isinstance(tap, LayerTap)]
        self.chunk(0, observation.steps, offset=0)
        (self.taps, self.layer_taps), self.prepare = taps, None
        if not observation.carries_on:
            self.pooled = {}

    def chunk(self, first: int, steps: int, *, offset: int) -> Tensor:
        """Outputs [steps, B, K] of the steps first … first+steps−1."""
        inputs = self._inputs(first, steps, offset)
        values: dict[fx.Node, Any] = {}
        for node in self.body.graph.nodes:
            if node in self.static:
                if node not in self.once:
                    self.once[node] = self._static(node, inputs)
                continue
            if node.op == "output":
                result = fx.map_arg(node.args[0], lambda n: self._fetch(n, values, steps))
                if not isinstance(result, Tensor):
                    got = type(result).__name__.removeprefix("immutable_")  # as fx names them
                    raise ValueError(f"a network must return one tensor, got {got}")
                return result.unflatten(0, (steps, self.batch))
            kind = self.kinds[node]
            if kind is Kind.NEURON:
                values[node] = self._neurons(node, values, first, steps)
            elif kind is Kind.DROPOUT:
                values[node] = self._dropout(node, self._fetch(node.args[0], values, steps), steps)
            elif kind is Kind.MAX_POOL:
                x = self._fetch(node.args[0], values, steps)
                values[node] = self._max_pool(node, x, steps)
                self._show(node, first, steps, ((x,),), values[node])
            else:
                fetched = fx.map_arg(
                    (node.args, node.kwargs), lambda n: self._fetch(n, values, steps)
                )
                values[node] = self._layer(node, kind, fetched, inputs)
                self._show(node, first, steps, fetched, values[node])
            for argument in node.all_input_nodes:  # free what no later node reads
                if self.last_reader[argument] is node:
                    values.pop(argument, None)
        raise AssertionError("a graph ends with its output")

    def _static(self, node: fx.Node, inputs: Tensor) -> Any:
        """A node whose value is the same at every step, [B, ...]."""
        arguments = self._arguments(node, self.once)
        if self.kinds[node] is Kind.DROPOUT:
            return self._dropout(node, arguments[0][0], 1)
        value = self._call(node, arguments, inputs)
        self._show(node, 0, 1, arguments, value)
        return value

    def _show(self, node: fx.Node, first: int, steps: int, arguments: Any, value: Any) -> None:
        """Let the taps see what batch norms and poolings did."""
        if self.kinds[node] in (Kind.NORM, Kind.MAX_POOL):
            for tap in self.layer_taps:
                tap.layer(node.name, first, steps, arguments[0][0], value)

    def _layer(self, node: fx.Node, kind: Kind, arguments: Any, inputs: Tensor) -> Any:
        """A node that knows no time, on [steps·B, ...]; what holds for its value is passed on."""
        x: Any = arguments[0][0] if arguments[0] else None
        if kind is Kind.SYNAPSE and self.sums is not None:
            summed = self.sums.add_up(self.modules[str(node.target)], x)
            if summed is not None:
                return summed
        value = self._call(node, arguments, inputs)
        alone = len(node.all_input_nodes) == 1 and isinstance(value, Tensor)
        if kind is Kind.SHAPE and alone and holds_spikes(x):
            mark_spikes(value)
        elif kind is Kind.NORM and torch.is_grad_enabled():
            origin = origin_of(self.modules[str(node.target)], x, value)
            if origin is not None:
                self.origins[node] = origin
        return value

    def _inputs(self, first: int, steps: int, offset: int) -> Tensor:
        inputs = channels_last(self.encoding.encode(self.images, offset + first, steps, self.keys))
        static = self.encoding.static
        for tap in self.taps:
            if not (static and first):
                tap.inputs(first, inputs.unflatten(0, (1 if static else steps, self.batch)))
        if static and not self.static:
            return inputs.repeat(steps, *([1] * (inputs.ndim - 1)))
        return inputs

    def _neurons(self, node: fx.Node, values: dict[fx.Node, Any], first: int, steps: int) -> Tensor:
        neuron = self.modules[str(node.target)]
        assert isinstance(neuron, Neuron)
        source = node.all_input_nodes[0]
        if source in self.once:
            current = self.once[source].expand(steps, *self.once[source].shape)
        else:
            current = by_steps(values[source], steps, self.batch, node)
        self.largest = max(self.largest, current[0].nbytes)
        if self.prepare is not None:
            spikes, state = self.prepare(neuron, current)
            state = state._replace(v=state.v.clone())  # ours, whatever it is a view of
        else:
            origin = self.origins.pop(source, None)
            before, ours = self.states.get(node.name), node in self.owners
            spikes, state = neuron.advance(current, before, origin, ours=ours)
        self.states[node.name] = state
        for tap in self.taps:
            tap.neurons(node.name, first, current, spikes, state)
        flat = spikes.flatten(0, 1)
        return mark_spikes(flat) if neuron.height == "unit" else flat

    def _dropout(self, node: fx.Node, x: Tensor, steps: int) -> Tensor:
        """One mask for all steps, so that a neuron is out for the whole image."""
        module = self.modules[str(node.target)]
        if not module.training:
            return x
        split = by_steps(x, steps, self.batch, node)
        if node.name not in self.masks:
            self.masks[node.name] = module(torch.ones_like(split[0]))
            for tap in self.layer_taps:
                tap.mask(node.name, self.masks[node.name])
        return (split * self.masks[node.name]).flatten(0, 1)

    def _max_pool(self, node: fx.Node, x: Tensor, steps: int) -> Tensor:
        module = self.modules[str(node.target)]
        if not isinstance(module, PooledCurrent):
            return module(x)
        pooled, self.pooled[node.name] = module.advance(
            by_steps(x, steps, self.batch, node), self.pooled.get(node.name)
        )
        return pooled.flatten(0, 1)

    def _arguments(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        return fx.map_arg((node.args, node.kwargs), lambda n: values[n])

    def _fetch(self, node: Any, values: dict[fx.Node, Any], steps: int) -> Any:
        """The value of a node; what was computed of the images once is repeated for every step."""
        if node in values:
            return values[node]
        value = self.once[node]
        if not isinstance(value, Tensor) or node not in self.of_images:
            return value
        return value.repeat(steps, *([1] * (value.ndim - 1)))

    def _call(self, node: fx.Node, arguments: Any, inputs: Tensor) -> Any:
        if node.op == "placeholder":
            return inputs
        return call_node(self.body, node, *arguments)
