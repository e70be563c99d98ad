"""What a training rule is: a function from a traced network to something that `fit` can train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, fx, nn

from direct.editing import ends_in_neurons
from network.encodings import ENCODINGS
from network.fit import Objective
from network.functional import SATURATING, SMOOTH
from network.graph import (
    Kind,
    UnsupportedNetwork,
    calls_one_of,
    describe_node,
    kind_of,
    layers,
    trace,
    whereabouts,
)
from network.readouts import READOUTS
from network.recipe import Recipe
from network.registry import Registry
from network.unroll import SpikingNetwork

Option = bool | int | float | str


class OptionError(ValueError):
    """An option that a rule does not have, or a value that it does not take."""


@dataclass(frozen=True)
class Task:
    """What a rule starts from.

    body: the traced network with its ReLUs, or that of `start` with its neurons.
    options: every option of the rule, defaults filled in.
    images, labels: a sample of the training set [N, C, H, W] and [N], as the network sees it.
    start: the converted network that `hybrid` and `diet` train on from.
    """

    body: fx.GraphModule
    timesteps: int
    options: Mapping[str, Any]
    recipe: Recipe
    encoding: str
    readout: str
    images: Tensor
    labels: Tensor
    seed: int
    start: SpikingNetwork | None = None


@dataclass
class Trainable:
    """A network with all that `network.fit.fit` needs to train it.

    records: rows by table name, e.g. 'gradients' with value, index, layer, gradient.
    finish: returns the trained network as it is swept: eval mode, norm folded where the rule says.
    facts: what was found before training, e.g. 'tuning' with gamma, ratio, evaluations.
    notes: lines on what was not found as it should be.
    """

    network: SpikingNetwork
    objective: Objective
    recipe: Recipe
    finish: Callable[[], SpikingNetwork]
    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    facts: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Rule:
    """A way of training a spiking network directly.

    options: names and defaults; a value must be of its default's type.
    refused: option -> value that it does not take here -> why.
    needs_conversion: it trains on from a converted network, given as `start`.
    timesteps: steps that a study trains with where it does not say.
    draws_weights: it draws its own first weights, also where its option draw_weights is true.
    batch_norm: False where the rule is defined for networks without it, True where it brings its
        own; None where both will do.
    """

    name: str
    summary: str
    source: str
    function: Callable[[Task], Trainable]
    recipe: Recipe
    options: Mapping[str, Option] = field(default_factory=lambda: MappingProxyType({}))
    refused: Mapping[str, Mapping[Any, str]] = field(default_factory=dict)
    encoding: str = "constant"
    readout: str = "mean-current"
    needs_conversion: bool = False
    timesteps: int = 8
    draws_weights: bool = False
    batch_norm: bool | None = None


RULES: Registry[Rule] = Registry("rule")

# option -> another one and the value of that with which it decides nothing
WITHOUT_EFFECT: Mapping[str, tuple[str, Any]] = MappingProxyType(
    {"tau": ("neuron", "if"), "pooling_threshold": ("spiking_pooling", False)}
)


def prepare(
    model: nn.Module | None,
    *,
    rule: str,
    timesteps: int,
    options: Mapping[str, object] | None = None,
    images: Tensor,
    labels: Tensor,
    seed: int = 0,
    recipe: Recipe | None = None,
    encoding: str | None = None,
    readout: str | None = None,
    start: SpikingNetwork | None = None,
) -> Trainable:
    """The network of `model` made spiking, ready to be trained for `timesteps` steps.

    The layers, and so the weights, are shared with `model`, not copied. Rules with
    `needs_conversion` take `start` instead of a model, and train it in place. recipe, encoding
    and readout replace the rule's own. images and labels: a mixed sample of the training set, on
    the device of the model; the network is there too.
    Raises UnknownName, OptionError, UnsupportedNetwork, or ValueError in one line.
    """
    entry = RULES.get(rule)
    if timesteps < 1:
        raise ValueError(f"timesteps must be at least 1, got {timesteps}")
    chosen = (encoding or entry.encoding, readout or entry.readout)
    ENCODINGS.get(chosen[0])  # unknown names are refused here, before any work
    READOUTS.get(chosen[1])
    body = _body(entry, model, start)
    _check_readout(entry, body, chosen[1])
    task = Task(
        body=body,
        timesteps=timesteps,
        options=resolve_options(entry, options or {}),
        recipe=recipe or entry.recipe,
        encoding=chosen[0],
        readout=chosen[1],
        images=images,
        labels=labels,
        seed=seed,
        start=start,
    )
    trainable = entry.function(task)
    trainable.network.to(images.device)
    return trainable


def _check_readout(rule: Rule, body: fx.GraphModule, readout: str) -> None:
    """Raise UnsupportedNetwork where spikes are to be counted and the output is none.

    A rule that counts spikes by itself puts neurons of its own there.
    """
    if readout != "spike-count" or rule.readout == readout or ends_in_neurons(body):
        return
    (output,) = (node for node in body.graph.nodes if node.op == "output")
    last = " and ".join(describe_node(body, node) for node in output.all_input_nodes)
    raise UnsupportedNetwork(
        f"readout spike-count needs a network that ends in neurons, got {last} as its last layer: "
        f"end it in a ReLU, or choose another readout ({', '.join(READOUTS)})"
    )


def _body(rule: Rule, model: nn.Module | None, start: SpikingNetwork | None) -> fx.GraphModule:
    if rule.needs_conversion:
        if start is None:
            raise ValueError(f"rule {rule.name} trains on from a converted network: give start")
        return start.body
    if model is None or start is not None:
        raise ValueError(f"rule {rule.name} starts from a model, not from a converted network")
    body = trace(model)
    if next(layers(body, Kind.ACTIVATION), None) is None:
        raise UnsupportedNetwork(f"{type(model).__name__} has no ReLU that could become spiking")
    for node in body.graph.nodes:
        if kind_of(body, node) is Kind.OTHER and calls_one_of(body, node, SMOOTH + SATURATING):
            raise UnsupportedNetwork(
                f"{describe_node(body, node)} has no spiking neuron in its place and would stay "
                f"analogue: use ReLU{whereabouts(node)}"
            )
    return body


def resolve_options(rule: Rule, given: Mapping[str, object]) -> Mapping[str, Any]:
    """Defaults with the given values in their place; raises OptionError for any that do not fit."""
    owner, defaults = rule.name, rule.options
    resolved: dict[str, Any] = dict(defaults)
    for name, value in given.items():
        if name not in defaults:
            known = ", ".join(defaults) or "none"
            raise OptionError(f"rule {owner} has no option {name!r}; known: {known}")
        expected = type(defaults[name])
        if expected is float and type(value) is int:
            value = float(value)
        if type(value) is not expected:
            raise OptionError(
                f"option {name} of rule {owner} must be of type {expected.__name__}, got {value!r}"
            )
        reason = rule.refused.get(name, {}).get(value)
        if reason is not None:
            raise OptionError(f"rule {owner} does not take {name} = {value!r}: {reason}")
        resolved[name] = value
    for name, (other, value) in WITHOUT_EFFECT.items():
        if resolved.get(other) == value and resolved[name] != defaults[name]:
            raise OptionError(
                f"option {name} of rule {owner} has no effect with {other} = {value!r}: leave it "
                f"out, got {resolved[name]!r}"
            )
    _check_values(owner, resolved)
    return MappingProxyType(resolved)


def _check_values(owner: str, resolved: Mapping[str, Any]) -> None:
    """What several rules share: steepness and time constant, and names of registered entries."""
    from direct.bptt import dynamics_of
    from direct.losses import LOSSES
    from direct.surrogates import SURROGATES
    from network.neurons import NEURONS

    if not resolved.get("gamma", 1.0) > 0:
        raise OptionError(
            f"option gamma of rule {owner} must be above 0, got {resolved['gamma']:g}"
        )
    if {"reset", "tau"} <= resolved.keys():
        dynamics_of(resolved.get("neuron", "lif"), resolved["reset"], resolved["tau"])
    registries: Mapping[str, Registry[Any]] = {
        "surrogate": SURROGATES, "loss": LOSSES, "neuron": NEURONS,
    }  # fmt: skip
    for name, registry in registries.items():
        if name in resolved:
            registry.get(resolved[name])


def generator_of(task: Task) -> torch.Generator:
    """A generator of the task's seed for what a rule draws before training."""
    return torch.Generator().manual_seed(task.seed)
