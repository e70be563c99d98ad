"""Rule `spike-bp`: spike-based backpropagation (Lee 2020, section 3.1, equations 4 to 27).

The run takes T steps without a graph. The slope of a hidden neuron, over its own x spikes at t_k::

    ∂a/∂net = (1/θ)(1 + f′(T)/x),   f′(T) = −(1/τ) Σ_k exp(−(T − t_k)/τ),   0 where x = 0   (eq. 22)

and the backward pass is one, on quantities summed over time (eqs. 23–26; here divided by T, which
leaves the products the same: δ_L·xᵀ = (e/T)·xᵀ = e·(x/T)ᵀ).
"""

from __future__ import annotations

import math
from dataclasses import replace
from types import MappingProxyType

import torch
from torch import Tensor

from direct.bptt import OPTIONS as OF_BPTT
from direct.bptt import dynamics_of, finished, spiking
from direct.editing import add_spiking_pooling, draw_weights
from direct.losses import LOSSES
from direct.replay import LOSS, gather, replayed
from direct.rules import RULES, Rule, Task, Trainable, generator_of
from network.neurons import Neuron, per_channel
from network.options import POSITIVE, Option
from network.recipe import Recipe

OPTIONS = MappingProxyType(
    {
        "tau": Option(100.0, "time constant in steps, of the output layer too", POSITIVE),
        "reset": replace(OF_BPTT["reset"], default="hard"),
        "loss": replace(LOSS, default="mse"),
        "spiking_pooling": Option(True, "neurons behind every average pooling of spikes"),
        "pooling_threshold": Option(
            0.75,
            "θ of these, which fire where they reach it",
            POSITIVE,
            idle=("spiking_pooling", (False,)),
        ),
        "draw_weights": Option(True, "weights from N(0, κ/fan-in): κ = 2, with residual sums 1"),
    }
)


class LeakCorrected:
    """Slope of eq. 22 from the spike times of one layer."""

    def __init__(self, neuron: Neuron) -> None:
        self.theta = neuron.theta
        self.decay = neuron.dynamics.decay
        self.trace: Tensor | None = None

    def add(self, current: Tensor, spikes: Tensor) -> None:
        del current
        if self.trace is None:
            self.trace = torch.zeros_like(spikes[0], dtype=torch.float32)
        gather(spikes, self.trace, self.decay)  # Σ_k exp(−(t − t_k)/τ)

    def slope(self, count: Tensor, timesteps: int) -> Tensor:
        del timesteps
        assert self.trace is not None
        leak = math.log(self.decay) if self.decay > 0 else 0.0  # −1/τ
        correction = 1.0 + leak * self.trace / count.clamp(min=1.0)
        return torch.where(count > 0, correction / per_channel(self.theta, count[None]), 0.0)


def spike_bp(task: Task) -> Trainable:
    """Lee 2020: one backward pass on time-summed quantities."""
    options = task.options
    dynamics = dynamics_of("lif", options["reset"], options["tau"])
    network = spiking(task, dynamics, None)
    network.readout_decay = dynamics.decay  # one τ, the output's too (algorithm 1)
    if options["spiking_pooling"]:
        add_spiking_pooling(network.body, options["pooling_threshold"])
    if options["draw_weights"]:
        draw_weights(network.body, generator_of(task))
    objective = replayed(network, task.timesteps, LeakCorrected, LOSSES.get(options["loss"]))
    return Trainable(network, objective, task.recipe, finished(network))


RULES.add(
    Rule(
        name="spike-bp",
        summary="one backward pass on spike counts with a leak correction; memory flat in T",
        source="Lee 2020",
        function=spike_bp,
        recipe=Recipe(
            epochs=5, batch_size=32, optimiser="adam", learning_rate=1e-3, weight_decay=0.0
        ),
        options=OPTIONS,
        encoding="poisson",
        readout="membrane",
        timesteps=50,
        batch_norm=False,
    )
)
