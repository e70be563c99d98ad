"""Rule `rate-bp`: rate-based backpropagation (Yu 2024).

The T steps run without a graph; one backward pass goes through r_l = mean_t s_l with the mean over
time of each neuron's surrogate slope. Memory does not grow with T: the run works through 4 steps at
a time, and batch norm normalises every 4 steps (the last ones of a T that 4 does not divide: fewer)
by their own statistics, where `bptt` takes those of all T. The running statistics that the trained
network is swept with are of all T steps, and move once for a batch.
"""

from __future__ import annotations

from types import MappingProxyType

import torch
from torch import Tensor

from direct.bptt import (
    OPTIONS,
    RECIPE,
    balance_thresholds,
    dynamics_of,
    finished,
    slope_of,
    spiking,
)
from direct.gradients import record_gradients
from direct.losses import LOSSES
from direct.replay import LOSS, replayed
from direct.rules import RULES, Rule, Task, Trainable
from direct.surrogates import Surrogate
from network.fused import on_cpu
from network.neurons import Neuron, per_channel


class MeanSurrogate:
    """Mean over the steps of the surrogate slope at v⁻ − θ, with v⁻ computed once more."""

    def __init__(self, neuron: Neuron, surrogate: Surrogate) -> None:
        self.neuron, self.surrogate = neuron, surrogate
        self.v: Tensor | None = None
        self.total: Tensor | None = None

    def add(self, current: Tensor, spikes: Tensor) -> None:
        theta = per_channel(self.neuron.theta, current)
        if self.v is None or self.total is None:
            self.v = self.neuron.initial_state(current).v
            self.total = torch.zeros_like(self.v)
        decay, soft = self.neuron.dynamics.decay, self.neuron.dynamics.reset == "soft"
        kernel = on_cpu.kernel_for(current, theta.numel(), self.surrogate)
        if kernel is not None:
            firing = on_cpu.Firing(theta.item(), decay, not soft, self.surrogate)
            kernel.slope_sums(current, self.v, self.total, firing)
            return
        for z, fired in zip(current, spikes, strict=True):
            before = torch.add(z, self.v, alpha=decay)
            self.total.add_(self.surrogate.slope(before - theta))
            self.v = before.addcmul_(theta if soft else before, fired, value=-1.0)

    def slope(self, count: Tensor, timesteps: int) -> Tensor:
        del count
        assert self.total is not None
        return self.total / timesteps


def rate_bp(task: Task) -> Trainable:
    """Surrogate gradient of the mean rates."""
    options = task.options
    surrogate = slope_of(options["surrogate"], options["gamma"])
    dynamics = dynamics_of(options["neuron"], options["reset"], options["tau"])
    network = spiking(task, dynamics, None)
    if options["balance"]:
        balance_thresholds(network, task)

    def make(neuron: Neuron) -> MeanSurrogate:
        return MeanSurrogate(neuron, surrogate)

    objective = replayed(network, task.timesteps, make, LOSSES.get(options["loss"]))
    trainable = Trainable(network, objective, task.recipe, finished(network))
    if options["record_gradients"]:
        record_gradients(trainable, task, "gamma", options["gamma"])
    return trainable


RULES.add(
    Rule(
        name="rate-bp",
        summary="one backward pass on mean rates with the mean surrogate slope; memory flat in T, "
        "so batch norm normalises 4 steps at a time",
        source="Yu 2024",
        function=rate_bp,
        recipe=RECIPE,
        options=MappingProxyType({**OPTIONS, "loss": LOSS}),
    )
)
