"""Rules `tdbn` (Zheng 2021) and `tet` (Deng 2022): bptt of iterative LIF neurons with tdBN."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from direct.bptt import OPTIONS as OF_BPTT
from direct.bptt import dynamics_of, finished, objective_of, slope_of, spiking
from direct.gradients import record_gradients
from direct.normalisation import fold_threshold_norm, install_threshold_norm
from direct.rules import RULES, Rule, Task, Trainable
from network.options import POSITIVE, Option, Options, with_defaults
from network.recipe import Recipe
from network.unroll import SpikingNetwork

OPTIONS: Options = with_defaults(
    MappingProxyType(
        {
            **{name: OF_BPTT[name] for name in ("neuron", "reset", "tau")},
            "threshold": Option(1.0, "θ of every neuron", POSITIVE),
            "alpha": Option(1.0, "α, factor on θ in threshold-dependent batch norm", POSITIVE),
            **{n: OF_BPTT[n] for n in ("surrogate", "gamma", "loss", "record_gradients")},
        }
    ),
    neuron="lif-iterative",
    reset="hard",
    tau=0.25,
    surrogate="rectangle",  # of width 2/γ = 1
)


def tdbn(task: Task) -> Trainable:
    """STBP with threshold-dependent batch norm, folded into the weights when it is finished."""
    options = task.options
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


RULES.add(
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
RULES.add(
    Rule(
        name="tet",
        summary="tdbn with a loss at every step",
        source="Deng 2022",
        function=tdbn,
        recipe=Recipe(epochs=3, batch_size=50, learning_rate=4e-3),
        options=with_defaults(OPTIONS, tau=0.5, surrogate="triangle", loss="tet"),
        batch_norm=True,
    )
)
