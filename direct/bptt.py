"""Rule `bptt`: backpropagation through time with a surrogate slope (Ledinauskas 2020).

Batch norm between a linear layer and its neuron is batch norm of input currents, over images and
steps (section 2.6). It is the architecture's own: ordinary layers see [T·B, ...]. Neurons
without it start from thresholds balanced on the data instead.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import MappingProxyType

import torch
from torch import Tensor, fx

from direct.editing import sources_of
from direct.gradients import record_gradients
from direct.losses import LOSSES, loss_of
from direct.rules import RULES, Rule, Task, Trainable
from direct.surrogates import SURROGATES, Surrogate, surrogate
from network.fit import Outcome
from network.graph import Kind, layers, swap_activations
from network.neurons import NEURONS, Dynamics, Neuron, NeuronState, Reset
from network.observation import Observation
from network.options import POSITIVE, SHARE, Option, Options
from network.recipe import Recipe
from network.unroll import SpikingNetwork, observe, unroll

OPTIONS: Options = MappingProxyType(
    {
        "neuron": Option("if", "kind of neuron: `isospike list neurons`", choices=NEURONS),
        "reset": Option(
            "soft",
            "'soft' subtracts the threshold, 'hard' returns to 0",
            choices=("soft", "hard"),
        ),
        "tau": Option(
            2.0,
            "time constant of lif in steps; τ_decay, a factor, of lif-iterative; not for if",
            ranges=("neuron", {"lif": POSITIVE, "lif-iterative": SHARE}),
            idle=("neuron", ("if",)),
        ),
        "surrogate": Option(
            "fast-sigmoid",
            "shape of the surrogate slope: `isospike list surrogates`",
            choices=SURROGATES,
        ),
        "gamma": Option(
            2.0, "steepness of the slope over the potential, whose width is 2/γ", POSITIVE
        ),
        "loss": Option("cross-entropy", "'cross-entropy', 'mse' or 'tet'", choices=LOSSES),
        "balance": Option(
            True, "thresholds from the largest currents, where no batch norm stands in front"
        ),
        "record_gradients": Option(  # of a first batch (§2.5, fig. 3; Zheng, fig. 2)
            False, "keep the mean gradient of every layer for the figure gradients"
        ),
    }
)
RECIPE = Recipe(epochs=3, batch_size=50, learning_rate=4e-3)


def dynamics_of(neuron: str, reset: Reset, tau: float) -> Dynamics:
    """Dynamics by name; tau: steps of lif, τ_decay of lif-iterative, unused by if."""
    if neuron == "lif":
        return NEURONS.get(neuron)(tau=tau, reset=reset)
    if neuron == "lif-iterative":
        return NEURONS.get(neuron)(tau_decay=tau, reset=reset)
    return NEURONS.get(neuron)(reset=reset)


def slope_of(name: str, gamma: float) -> Surrogate:
    """The surrogate of this name with the width 2/γ of a fast sigmoid."""
    SURROGATES.get(name)
    return surrogate(name, 2.0 / gamma)


def spiking(
    task: Task, dynamics: Dynamics, slope: Callable[[Tensor], Tensor] | None
) -> SpikingNetwork:
    """The task's network with every ReLU replaced by neurons of threshold 1."""
    swap_activations(task.body, lambda name, activation: Neuron(dynamics, slope=slope))
    task.body.to(task.images.device)
    return SpikingNetwork(task.body, encoding=task.encoding, readout=task.readout)


def without_norm(body: fx.GraphModule) -> set[Neuron]:
    """Neurons whose currents pass no norm on their way from weights, or from the input."""
    found = set()
    for node, neuron in layers(body, Kind.NEURON):
        sources = sources_of(body, node)
        if Kind.NORM not in sources and sources != {Kind.NEURON}:
            assert isinstance(neuron, Neuron)
            found.add(neuron)
    return found


@torch.no_grad()
def balance_thresholds(network: SpikingNetwork, task: Task) -> None:
    """θ_l = the largest input current of layer l over the images and all steps (§2.6), where no
    norm stands in front of it.

    One run in the order of the layers: each spikes with the threshold it has just been given. A
    layer that receives no positive current keeps its threshold.
    """
    chosen = without_norm(network.body)
    if not chosen:
        return

    def set_threshold(neuron: Neuron, current: Tensor) -> tuple[Tensor, NeuronState]:
        largest = current.max()
        if neuron in chosen and largest > 0:
            neuron.theta.copy_(largest)
        return neuron.advance(current, None)

    keys = torch.arange(len(task.images), device=task.images.device) + task.seed
    network.eval()
    norms = [norm for _, norm in layers(network.body, Kind.NORM)]
    kept = [copy.deepcopy(norm.state_dict()) for norm in norms]
    for norm in norms:
        norm.train()  # it knows no other statistics yet than those of these images
    observe(network, task.images, Observation(task.timesteps, set_threshold), keys=keys)
    for norm, state in zip(norms, kept, strict=True):
        norm.eval().load_state_dict(state)


def objective_of(
    network: SpikingNetwork, timesteps: int, loss: str, theta: float = 1.0
) -> Callable[[Tensor, Tensor, Tensor], Outcome]:
    """Run, read, compare: what one batch of `bptt` differentiates; theta as `loss_of` takes it."""
    compare = loss_of(loss, theta)

    def objective(images: Tensor, labels: Tensor, keys: Tensor) -> Outcome:
        outputs = unroll(network, images, timesteps, keys=keys)
        scores = network.read(outputs)[-1]
        return Outcome(compare(outputs, scores, labels), scores)

    return objective


def finished(network: SpikingNetwork) -> Callable[[], SpikingNetwork]:
    """The network itself in eval mode, its neurons without their slopes."""

    def finish() -> SpikingNetwork:
        network.eval()
        for neuron in network.neurons().values():
            neuron.slope = None
        return network

    return finish


def bptt(task: Task) -> Trainable:
    """Surrogate-gradient training of the whole unrolled network."""
    options = task.options
    dynamics = dynamics_of(options["neuron"], options["reset"], options["tau"])
    network = spiking(task, dynamics, slope_of(options["surrogate"], options["gamma"]))
    if options["balance"]:
        balance_thresholds(network, task)
    objective = objective_of(network, task.timesteps, options["loss"])
    trainable = Trainable(network, objective, task.recipe, finished(network))
    if options["record_gradients"]:
        record_gradients(trainable, task, "gamma", options["gamma"])
    return trainable


RULES.add(
    Rule(
        name="bptt",
        summary="backpropagation through time with a surrogate slope",
        source="Ledinauskas 2020",
        function=bptt,
        recipe=RECIPE,
        options=OPTIONS,
    )
)
