"""What a training rule is: a function from a traced network to something that `fit` can train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
from network.options import Options, resolve
from network.readouts import READOUTS
from network.recipe import Recipe
from network.registry import Registry
from network.unroll import SpikingNetwork


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
    options: Options = field(default_factory=dict)
    encoding: str = "constant"
    readout: str = "mean-current"
    needs_conversion: bool = False
    timesteps: int = 8
    draws_weights: bool = False
    batch_norm: bool | None = None


RULES: Registry[Rule] = Registry("rule")


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
    `needs_conversion` take `start` instead of a model, and train it in place, with the encoding and
    readout that it has. recipe, encoding and readout replace the rule's own. images and labels: a
    mixed sample of the training set, on the device of the model; the network is there too.
    Raises UnknownName, OptionError, UnsupportedNetwork, or ValueError in one line.
    """
    entry = RULES.get(rule)
    if timesteps < 1:
        raise ValueError(f"timesteps must be at least 1, got {timesteps}")
    chosen = (encoding or entry.encoding, readout or entry.readout)
    ENCODINGS.get(chosen[0])  # unknown names are refused here, before any work
    READOUTS.get(chosen[1])
    resolved = resolve(rule, entry.options, options or {})
    body = _body(entry, model, start)
    _check_dropout(body)
    _check_readout(entry, body, chosen[1])
    _check_start(start, encoding=encoding, readout=readout)
    _check_sample(images, labels)
    task = Task(
        body=body,
        timesteps=timesteps,
        options=resolved,
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


def _check_dropout(body: fx.GraphModule) -> None:
    """Raise UnsupportedNetwork for dropout that is more than a mask on what passes."""
    for node, module in layers(body, Kind.DROPOUT):
        if isinstance(module, nn.AlphaDropout | nn.FeatureAlphaDropout):
            raise UnsupportedNetwork(
                f"{describe_node(body, node)} adds to what it drops, so that silent neurons "
                f"would not stay silent: use Dropout{whereabouts(node)}"
            )


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


def _check_start(start: SpikingNetwork | None, **asked: str | None) -> None:
    """Raise ValueError where a converted network would be given another encoding or readout."""
    for name, value in asked.items():
        if start is not None and value not in (None, getattr(start, name)):
            raise ValueError(
                f"training goes on with the {name} of the converted network, "
                f"{getattr(start, name)}: leave it out, got {value}"
            )


def _check_sample(images: Tensor, labels: Tensor) -> None:
    if not len(images) == len(labels) > 0:
        raise ValueError(
            "a sample needs at least 1 image and a label for each, "
            f"got {len(images)} images and {len(labels)} labels"
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


def generator_of(task: Task) -> torch.Generator:
    """A generator of the task's seed for what a rule draws before training."""
    return torch.Generator().manual_seed(task.seed)
