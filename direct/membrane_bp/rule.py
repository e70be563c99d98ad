"""Rule `membrane-bp`: membrane potentials as differentiable signals (Lee 2016)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from direct.editing import insert_after
from direct.losses import LOSSES
from direct.membrane_bp import gradient
from direct.membrane_bp.group import EventNeuron, Layer, run
from direct.membrane_bp.neuron import EventDynamics
from direct.membrane_bp.options import OPTIONS
from direct.rules import RULES, Rule, Task, Trainable, generator_of
from network.encodings import ENCODINGS
from network.fit import Outcome
from network.graph import Kind, UnsupportedNetwork, describe_node, kind_of, layers, replace_module
from network.neurons import NeuronState
from network.options import OptionError
from network.recipe import Recipe, learning_share
from network.unroll import SpikingNetwork

READOUT = "spike-count"


class Counts:
    """A tap: spikes of the inputs and of every layer over the whole run, [B, N].

    repeats: steps that an input which is shown once stands for.
    """

    def __init__(self, repeats: int) -> None:
        self.repeats = repeats
        self.of: dict[str, Tensor] = {}

    def inputs(self, first: int, inputs: Tensor) -> None:
        self._add("input", first, self.repeats * inputs.flatten(2))

    def neurons(
        self, name: str, first: int, current: Tensor, spikes: Tensor, state: NeuronState
    ) -> None:
        del current, state
        self._add(name, first, spikes)

    def _add(self, name: str, first: int, spikes: Tensor) -> None:
        count = spikes.sum(dim=0)
        self.of[name] = self.of[name] + count if first else count


def install(task: Task) -> tuple[SpikingNetwork, list[Layer]]:
    """Event neurons behind every linear layer, the last one too; weights and θ drawn (eq. 9)."""
    options, body = task.options, task.body
    allowed = (Kind.INPUT, Kind.OUTPUT, Kind.SHAPE, Kind.SYNAPSE, Kind.ACTIVATION)
    for node in body.graph.nodes:
        if kind_of(body, node) not in allowed:
            raise UnsupportedNetwork(
                "membrane-bp trains plain fully connected networks without batch norm, "
                f"got {describe_node(body, node)}"
            )
    found = list(layers(body, Kind.SYNAPSE))
    inhibitions = [options["inhibition"]] + [0.0] * (len(found) - 1)
    inhibitions[-1] = options["output_inhibition"]
    installed = []
    generator = generator_of(task)  # one for all layers: their weights are independent
    for (node, linear), inhibition in zip(found, inhibitions, strict=True):
        if not isinstance(linear, nn.Linear):
            raise UnsupportedNetwork(
                f"membrane-bp trains linear layers only, got {describe_node(body, node)}"
            )
        events = EventDynamics(
            options["tau_ms"], options["refractory_ms"], options["step_ms"], inhibition
        )
        theta = draw(linear, options["alpha"], generator)
        neuron = EventNeuron(events, theta, options["threshold_rate"])
        users = list(node.users)
        if len(users) == 1 and kind_of(body, users[0]) is Kind.ACTIVATION:
            replace_module(body, users[0], neuron)
            name = users[0].name
        else:
            name = insert_after(body, node, f"{node.name}_neurons", neuron).name
        floor = options["floor"] * neuron.theta.min().item()
        installed.append(Layer(name, linear, neuron, floor))
    body.delete_all_unused_submodules()
    body.recompile()
    network = SpikingNetwork(body, encoding=task.encoding, readout=task.readout)
    return network, installed


@torch.no_grad()
def draw(linear: nn.Linear, alpha: float, generator: torch.Generator) -> Tensor:
    """w ~ U(−√(3/M), √(3/M)) and θ = α√(3/M) (eq. 9), without biases; returns θ [N]."""
    bound = math.sqrt(3.0 / linear.in_features)
    drawn = torch.empty(linear.weight.shape)  # on the CPU: the same on every device
    linear.weight.copy_(drawn.uniform_(-bound, bound, generator=generator))
    linear.register_parameter("bias", None)
    return torch.full((linear.out_features,), alpha * bound)


@torch.no_grad()
def gradients_of(
    chain: list[Layer], counts: Mapping[str, Tensor], error: Tensor, task: Task
) -> list[tuple[Tensor, Tensor]]:
    """Gradients (weight, threshold) of every layer, first to last, from the error at the output."""
    options = task.options
    decay = math.exp(-options["step_ms"] / options["tau_ms"])
    names = ["input", *(layer.name for layer in chain)]
    traces = {name: gradient.mean_trace(counts[name], decay, task.timesteps) for name in names}
    found: list[tuple[Tensor, Tensor]] = []
    everyone = torch.ones_like(error)
    delta = gradient.scaled_gain(chain[-1].neuron.theta, everyone) * error
    for index in range(len(chain) - 1, -1, -1):
        layer, inputs = chain[index], traces[names[index]]
        own = traces[layer.name]
        inhibition = layer.neuron.events.inhibition
        weight, theta = layer.linear.weight, layer.neuron.theta
        update = gradient.weight_gradient(delta, inputs)
        strength = options["output_lambda" if index == len(chain) - 1 else "weight_lambda"]
        if strength:
            update += gradient.exponential_regularisation(weight, strength, options["weight_beta"])
        by_threshold = gradient.threshold_gradient(delta, inputs, own, inhibition)
        found.insert(0, (update, by_threshold))
        if index > 0:
            active = (own > 0).to(weight.dtype)
            arrived = gradient.backward_through(weight, theta, delta, active, inhibition)
            below = (inputs > 0).to(weight.dtype)
            delta = gradient.hidden_error(chain[index - 1].neuron.theta, below, arrived)
    return found


@torch.no_grad()
def regularise_thresholds(chain: list[Layer], counts: Mapping[str, Tensor], rate: float) -> None:
    """Section 5.2, for hidden groups; what it would take below the floor raises weights instead.

    What the gradient took below the floor is only given back: by steps of Adam's size at every
    weight of the neuron, it would end up firing all the time.
    """
    for layer in chain:
        layer.neuron.theta.clamp_(min=layer.floor)
    for layer in chain[:-1]:
        theta = layer.neuron.theta
        theta += gradient.threshold_shift(counts[layer.name], rate)
        lacking = (layer.floor - theta).clamp(min=0.0)
        theta += lacking
        layer.linear.weight += lacking.unsqueeze(1)


def with_gradients(value: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """A scalar of this value whose derivative by each parameter is the gradient beside it."""
    for parameter, wanted in pairs:
        value = value + ((parameter - parameter.detach()) * wanted).sum()
    return value


def membrane_bp(task: Task) -> Trainable:
    """Event-driven LIF groups trained by the traces of their spikes."""
    if task.readout != READOUT:
        raise OptionError(f"membrane-bp learns by the readout {READOUT} only, got {task.readout}")
    network, chain = install(task)
    loss = LOSSES.get("mse")
    repeats = task.timesteps if ENCODINGS.get(task.encoding).static else 1

    def objective(images: Tensor, labels: Tensor, keys: Tensor) -> Outcome:
        counts = Counts(repeats)
        exact = torch.autocast(images.device.type, enabled=False)  # sums of spikes decide spikes
        with torch.no_grad(), exact:
            outputs = run(network, chain, images, task.timesteps, keys, counts)
            scores = network.read(outputs)[-1]
            error = gradient.output_error(
                counts.of[chain[-1].name], labels, task.options["balance"]
            )
            value = loss(outputs, scores, labels)
            regularise_thresholds(chain, counts.of, task.options["rho"] * learning_share())
            found = gradients_of(chain, counts.of, error, task)
        pairs = []
        for layer, (weight, theta) in zip(chain, found, strict=True):
            pairs += [(layer.linear.weight, weight), (layer.neuron.theta, theta)]
        return Outcome(with_gradients(value, pairs), scores)

    return Trainable(network, objective, task.recipe, swept(network, chain))


def swept(network: SpikingNetwork, chain: list[Layer]) -> Callable[[], SpikingNetwork]:
    """The network in eval mode, no threshold below its floor."""

    def finish() -> SpikingNetwork:
        network.eval()
        with torch.no_grad():
            for layer in chain:
                layer.neuron.theta.clamp_(min=layer.floor)
                layer.neuron.theta.requires_grad_(False)
        return network

    return finish


RULES.add(
    Rule(
        name="membrane-bp",
        summary="membrane potentials as signals, winner-take-all groups, trained thresholds",
        source="Lee 2016",
        function=membrane_bp,
        recipe=Recipe(
            epochs=10,
            batch_size=10,
            optimiser="sgd",
            learning_rate=0.02,
            momentum=0.0,
            weight_decay=0.0,
            schedule="cosine",
        ),
        draws_weights=True,
        options=OPTIONS,
        encoding="poisson-total",
        readout=READOUT,
        timesteps=50,
        batch_norm=False,
    )
)
