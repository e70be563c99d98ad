"""One backward pass for all timesteps: run without a graph, then go back through mean rates.

The run keeps of every neuron only its spikes r = (1/T)Σs and one slope ∂r/∂z, with z the mean
input current. The replay is a single pass through the network on mean rates, in which a neuron
puts out the r that it had and hands back the gradient times its slope::

    z_l = W_l r_{l−1} + b_l,   ∂L/∂z_l = slope_l ⊙ ∂L/∂r_l,   ∂L/∂W_l = ∂L/∂z_l r_{l−1}ᵀ

Linear layers, sums and average pooling commute with the mean over time, so the replay's output is
the mean output current. Memory does not grow with T: the run works through 4 steps at a time, and
batch norm normalises these by their own mean and variance. Its running statistics move once for a
batch, by those over all T steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, fx, nn

from direct.losses import LOSSES, Loss
from direct.norm_statistics import (
    Statistics,
    move_running_statistics,
    norms_of,
    running_statistics_held,
    statistics_of,
)
from network.fit import Outcome
from network.fused import on_cpu
from network.graph import NORMS, Kind, kind_of
from network.neurons import Neuron, NeuronState
from network.options import Option
from network.over_batch import mean_over_batch, variance_over_batch
from network.unroll import SpikingNetwork, unroll

LOSS = Option(
    "cross-entropy",
    "'cross-entropy' or 'mse'",
    choices=LOSSES,
    # of the outputs of single steps there is no gradient
    refused={"tet": "training goes back through mean rates, and tet answers for every step"},
)
CHUNK = 4  # steps at once; batch norm normalises by the statistics of these


class Slopes(Protocol):
    """Collects what a rule needs to know of one layer's neurons, chunk by chunk."""

    def add(self, current: Tensor, spikes: Tensor) -> None:
        """Current and spikes of the next chunk, [steps, B, ...]."""

    def slope(self, count: Tensor, timesteps: int) -> Tensor:
        """∂r/∂z of every neuron, [B, ...], given its number of spikes."""


@dataclass
class Record:
    """What a run leaves behind, by node: sums over time, masks of dropout, statistics of norms.

    pooled: what max pooling put out, summed over the steps, and their number.
    """

    inputs: Tensor | None = None
    static: bool = False
    spikes: dict[str, Tensor] = field(default_factory=dict)
    slopes: dict[str, Slopes] = field(default_factory=dict)
    masks: dict[str, Tensor] = field(default_factory=dict)
    norms: dict[str, Statistics] = field(default_factory=dict)
    pooled: dict[str, tuple[Tensor, int]] = field(default_factory=dict)


class _Recorder:
    """The tap that fills a record."""

    def __init__(self, network: SpikingNetwork, make: Callable[[Neuron], Slopes]) -> None:
        self.record = Record()
        self.modules = network.neurons()
        self.norms = norms_of(network.body)
        self.make = make

    def inputs(self, first: int, inputs: Tensor) -> None:
        total = inputs.sum(dim=0)
        before = self.record.inputs
        self.record.inputs = total if before is None else before + total
        self.record.static = inputs.shape[0] == 1 and first == 0

    def neurons(
        self, name: str, first: int, current: Tensor, spikes: Tensor, state: NeuronState
    ) -> None:
        del state
        if first == 0:
            self.record.slopes[name] = self.make(self.modules[name])
            self.record.spikes[name] = torch.zeros_like(spikes[0], dtype=torch.float32)
        self.record.slopes[name].add(current, spikes)
        gather(spikes, self.record.spikes[name], 1.0)

    def layer(self, name: str, first: int, steps: int, x: Tensor, value: Tensor) -> None:
        del first
        if name in self.norms:
            if self.norms[name].training:
                found, known = statistics_of(x, steps), self.record.norms.get(name)
                self.record.norms[name] = found if known is None else known.joined(found)
            return
        total, before = self.record.pooled.get(name, (torch.zeros(()), 0))
        summed = value.unflatten(0, (steps, -1)).sum(dim=0, dtype=torch.float32)
        self.record.pooled[name] = (total.to(summed.device) + summed, before + steps)

    def mask(self, name: str, mask: Tensor) -> None:
        self.record.masks[name] = mask


def gather(spikes: Tensor, total: Tensor, decay: float) -> None:
    """total ← total · decay + s(t), in float32, for every step of spikes [T, B, ...]."""
    kernel = on_cpu.kernel_for(spikes)
    if kernel is not None:
        kernel.gather(spikes, total, decay)
        return
    for fired in spikes:
        if decay != 1.0:
            total.mul_(decay)
        total.add_(fired)


class _Linearised(torch.autograd.Function):
    """The rates a layer had, as a function of its mean current with the given slope."""

    @staticmethod
    def forward(ctx, current: Tensor, rates: Tensor, slope: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        del current
        ctx.save_for_backward(slope)
        return rates.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]
        (slope,) = ctx.saved_tensors
        return gradient * slope, None, None


class _Replay(fx.Interpreter):
    """One pass through the network on mean rates."""

    def __init__(self, body: fx.GraphModule, record: Record, timesteps: int) -> None:
        super().__init__(body)
        self.body, self.record, self.timesteps = body, record, timesteps

    def run_node(self, n: fx.Node) -> Any:
        kind = kind_of(self.body, n)
        if kind not in (Kind.NEURON, Kind.DROPOUT, Kind.NORM, Kind.MAX_POOL):
            return super().run_node(n)
        x = self.env[n.args[0]]  # type: ignore[index]
        if kind is Kind.NEURON:
            count = self.record.spikes[n.name]
            slope = self.record.slopes[n.name].slope(count, self.timesteps)
            return _Linearised.apply(x, count / self.timesteps, slope)
        if kind is Kind.MAX_POOL:
            return self._max_pool(n)
        module = self.body.get_submodule(str(n.target))
        if not module.training:
            return module(x)
        if kind is Kind.DROPOUT:
            return x * self.record.masks[n.name]
        return normalise(module, x, self.record.norms[n.name].within)

    def _max_pool(self, node: fx.Node) -> Tensor:
        """What the pooling put out on average; its gradient goes to the largest mean rates.

        The largest spike of every step is more than the largest rate, which the steps do not know.
        """
        of_rates: Tensor = super().run_node(node)
        total, steps = self.record.pooled[node.name]
        return of_rates + (total / steps - of_rates).detach()


def normalise(module: nn.Module, x: Tensor, variance: Tensor) -> Tensor:
    """Batch norm of mean currents x [B, C, ...] with their own mean and the variance [C] given.

    The gradient goes through both, that of the variance as if it were the one of x over the batch:
    of one step it is, and the gradient is that of the whole run.
    """
    shape = (1, -1, *([1] * (x.ndim - 2)))
    axes = (0, *range(2, x.ndim))
    assert isinstance(module, NORMS)
    own = variance_over_batch(x, axes)
    variance = own + (variance - own).detach()
    scale = (variance + module.eps).rsqrt()
    if module.weight is not None:
        scale = module.weight * scale
    centred = x - mean_over_batch(x, axes, keepdim=True)
    result = centred * scale.view(shape)
    return result if module.bias is None else result + module.bias.view(shape)


def replayed(
    network: SpikingNetwork, timesteps: int, make: Callable[[Neuron], Slopes], loss: Loss
) -> Callable[[Tensor, Tensor, Tensor], Outcome]:
    """The objective: loss of the readout as the run gave it, gradient through mean rates."""

    def objective(images: Tensor, labels: Tensor, keys: Tensor) -> Outcome:
        recorder = _Recorder(network, make)
        record = recorder.record
        with torch.no_grad(), running_statistics_held(network.body):
            outputs = unroll(
                network, images, timesteps, keys=keys, chunk=CHUNK, taps=[recorder], events=True
            )
            scores = network.read(outputs)[-1]
        for name, found in record.norms.items():
            move_running_statistics(recorder.norms[name], found)
        assert record.inputs is not None
        mean_input = record.inputs if record.static else record.inputs / timesteps
        output = _Replay(network.body, record, timesteps).run(mean_input)
        scores = output + (scores - output).detach()
        return Outcome(loss(scores.unsqueeze(0), scores, labels), scores.detach())

    return objective
