"""Rules `tdbn` (Zheng 2021) and `tet` (Deng 2022): bptt of iterative LIF neurons with tdBN."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from direct.bptt import dynamics_of, finished, objective_of, slope_of, spiking
from direct.gradients import record_gradients
from direct.normalisation import fold_threshold_norm, install_threshold_norm
from direct.rules import RULES, OptionError, Rule, Task, Trainable
from network.recipe import Recipe
from network.unroll import SpikingNetwork

OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "neuron": "lif-iterative",
        "reset": "hard",
        "tau": 0.25,  # τ_decay of lif-iterative; τ in steps of lif
        "threshold": 1.0,
        "alpha": 1.0,
        "surrogate": "rectangle",
        "gamma": 2.0,  # width 2/γ = 1
        "loss": "cross-entropy",
        "record_gradients": False,  # mean |gradient| by layer of a first batch (Zheng, fig. 2)
    }
)


def tdbn(task: Task) -> Trainable:
    """STBP with threshold-dependent batch norm, folded into the weights when it is finished."""
    options = task.options
    for name in ("threshold", "alpha"):
        if not options[name] > 0:
            raise OptionError(f"option {name} must be positive, got {options[name]}")
    network = tdbn_network(task)
    objective = objective_of(network, task.timesteps, options["loss"], options["threshold"])
    trainable = Trainable(network, objective, task.recipe, folded(network))
    if options["record_gradients"]:
        record_gradients(trainable, task, "tau_decay", options["tau"])
    return trainable


def tdbn_network(task: Task) -> SpikingNetwork:
    """Neurons of the option's threshold behind norms of the same threshold."""
    options = task.options
    dynamics = dynamics_of(options["neuron"], options["reset"], options["tau"])
    network = spiking(task, dynamics, slope_of(options["surrogate"], options["gamma"]))
    for neuron in network.neurons().values():
        neuron.theta.fill_(options["threshold"])
    install_threshold_norm(network.body, options["threshold"], options["alpha"])
    network.to(task.images.device)
    return network


def folded(network: SpikingNetwork) -> Callable[[], SpikingNetwork]:
    """The network in eval mode with its norms folded away."""

    def finish() -> SpikingNetwork:
        finished(network)()
        fold_threshold_norm(network.body)
        return network

    return finish


RULES.register("tdbn")(
    Rule(
        name="tdbn",
        summary="bptt with batch norm scaled to the threshold, over time and space",
        source="Zheng 2021",
        function=tdbn,
        recipe=Recipe(
            epochs=3,
            batch_size=50,
            optimiser="sgd",
            learning_rate=0.1,
            weight_decay=0.0,
            schedule="cosine",
        ),
        options=OPTIONS,
        batch_norm=True,
    )
)
RULES.register("tet")(
    Rule(
        name="tet",
        summary="tdbn with a loss at every step",
        source="Deng 2022",
        function=tdbn,
        recipe=Recipe(epochs=3, batch_size=50, learning_rate=4e-3),
        options=MappingProxyType({**OPTIONS, "tau": 0.5, "surrogate": "triangle", "loss": "tet"}),
        batch_norm=True,
    )
)
