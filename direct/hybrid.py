"""Rules `hybrid` (Rathi 2020) and `diet` (DIET-SNN): train on from a converted network.

A converted network emits spikes as high as their threshold, θ·s. Its surrogate works in units of
θ, so that one width fits layers of every threshold: d(θs)/dv⁻ = slope((v⁻ − θ)/θ).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor, nn

from direct.bptt import OPTIONS as OF_BPTT
from direct.bptt import finished, objective_of, slope_of
from direct.rules import RULES, Rule, Task, Trainable
from direct.surrogates import Surrogate
from network.fit import Outcome
from network.neurons import Neuron, per_channel
from network.options import Option, Options
from network.recipe import Recipe
from network.unroll import SpikingNetwork

OPTIONS: Options = MappingProxyType(
    {
        "surrogate": OF_BPTT["surrogate"],
        "gamma": replace(
            OF_BPTT["gamma"],
            meaning="steepness of the slope, whose width is 2/γ in units of the threshold",
        ),
        "loss": OF_BPTT["loss"],
    }
)
RECIPE = Recipe(epochs=2, batch_size=50, learning_rate=5e-4)


@dataclass(frozen=True, eq=False)
class Scaled:
    """A surrogate in units of the layer's threshold, scalar or [C]: slope(x/θ)/θ, x [B, C, ...]."""

    surrogate: Surrogate
    theta: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        theta = per_channel(self.theta, x.unsqueeze(0))
        return self.surrogate.slope(x / theta) / theta


def differentiable_start(task: Task) -> SpikingNetwork:
    """The converted network with slopes in its neurons and all its weights trainable.

    Raises ValueError where its answer comes after steps of observation: they are not trained.
    """
    assert task.start is not None
    network = task.start
    if network.observation is not None:
        raise ValueError(
            "training goes on from a converted network without observation steps, got one that "
            f"spends {network.observation.steps}: srp and offset are qcfs without them, and a "
            "delay can be left out"
        )
    for neuron in network.neurons().values():
        neuron.slope = Scaled(
            slope_of(task.options["surrogate"], task.options["gamma"]),
            neuron.theta.detach().clone(),
        )
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    return network


def hybrid(task: Task) -> Trainable:
    """Fine-tune a converted network with bptt at few steps."""
    network = differentiable_start(task)
    objective = objective_of(network, task.timesteps, task.options["loss"])
    return Trainable(network, objective, task.recipe, finished(network))


def diet(task: Task) -> Trainable:
    """`hybrid` that also trains thresholds and, with option leak, one leak per layer.

    One threshold per layer, or per channel where the conversion has one for each (`channel-norm`).
    """
    network = differentiable_start(task)
    for neuron in network.neurons().values():
        neuron.train_threshold(leak=task.options["leak"])
        assert isinstance(neuron.slope, Scaled)
        neuron.slope = replace(neuron.slope, theta=neuron.theta.detach())  # follows the trained one
    inner = objective_of(network, task.timesteps, task.options["loss"])

    def objective(images: Tensor, labels: Tensor, keys: Tensor) -> Outcome:
        for neuron in network.neurons().values():
            keep_in_range(neuron)
        return inner(images, labels, keys)

    return Trainable(network, objective, task.recipe, frozen(network))


@torch.no_grad()
def keep_in_range(neuron: Neuron) -> None:
    """θ stays positive and the leak in [0, 1], whatever the last update did."""
    neuron.theta.clamp_(min=1e-3)
    if neuron.leak is not None:
        neuron.leak.clamp_(0.0, 1.0)


def frozen(network: SpikingNetwork) -> Callable[[], SpikingNetwork]:
    """The network in eval mode, trained thresholds and leaks turned back into constants."""

    def finish() -> SpikingNetwork:
        finished(network)()
        for neuron in network.neurons().values():
            keep_in_range(neuron)
            if isinstance(neuron.theta, nn.Parameter):
                neuron.freeze_threshold()
        return network

    return finish


RULES.add(
    Rule(
        name="hybrid",
        summary="fine-tune a converted network with bptt at few timesteps",
        source="Rathi 2020",
        function=hybrid,
        recipe=RECIPE,
        options=OPTIONS,
        needs_conversion=True,
    )
)
RULES.add(
    Rule(
        name="diet",
        summary="hybrid that also trains a threshold and a leak per layer",
        source="Rathi 2021",
        function=diet,
        recipe=RECIPE,
        options=MappingProxyType({**OPTIONS, "leak": Option(True, "learn one leak per layer too")}),
        needs_conversion=True,
    )
)
