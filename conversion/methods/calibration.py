"""`calibration`: biases, and weights, corrected layer by layer against the ANN (Li 2021)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from conversion.method import method
from conversion.methods.mse_norm import mse_norm
from conversion.options import MADE_FOR
from conversion.rates import Replay, mean_outputs
from conversion.source import Balance, Source
from conversion.statistics import activations
from network.graph import SYNAPSES, Kind, UnsupportedNetwork, kind_of, layers
from network.options import POSITIVE, Option

BATCH_SIZE = 32  # images in a step of 'advanced'


@method(
    "calibration",
    summary="mse-norm, then each bias corrected by the mean error of its layer",
    source="Li 2021, sections 4.2 and 4.3",
    calibration_images=256,
    timesteps=MADE_FOR,
    level=Option(
        "light",
        "'light' corrects biases; 'advanced' fits weights before that",
        choices=("light", "advanced"),
    ),
    passes=Option(
        4,
        "of Adam over the calibration images, with level 'advanced'",
        POSITIVE,
        idle=("level", ("light",)),
    ),
    learning_rate=Option(
        1e-4, "of Adam, with level 'advanced'", POSITIVE, idle=("level", ("light",))
    ),
)
def calibration(
    source: Source, *, timesteps: int, level: str, passes: int, learning_rate: float
) -> Balance:
    """Go through the layers in order; add to the bias, per channel, the mean over images and space
    of ANN activation − SNN rate·θ after `timesteps` steps. The next layer sees the correction.

    level: 'light', or 'advanced', which before that fits the layer's weights to the ANN's
        activations by `passes` passes of Adam over the images, straight through the rounding.

    Raises UnsupportedNetwork for 'advanced' where layers share weights: they cannot fit both.
    """
    if level == "advanced":
        _refuse_shared_weights(source)
    start = mse_norm(source, timesteps=timesteps)
    work = _Calibration.of(source, start, timesteps)
    for name in source.names:
        if level == "advanced":
            work.fit_weights(name, source.body, passes, learning_rate)
        work.correct_bias(name, source.body)
    weights = {
        name: value
        for name, value in work.source.body.named_parameters()
        if not torch.equal(value, source.body.get_parameter(name))
    }
    return replace(start, shift=dict(work.shift), weights=weights)


def with_corrected_biases(source: Source, start: Balance, timesteps: int) -> Balance:
    """The balance with the shifts of level 'light', layer by layer."""
    work = _Calibration.of(source, start, timesteps)
    for name in source.names:
        work.correct_bias(name, source.body)
    return work.balance


@dataclass
class _Calibration:
    """Progress through the layers: `source.body` holds corrected weights, `shift` biases."""

    source: Source
    start: Balance
    timesteps: int
    shift: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Source, start: Balance, timesteps: int) -> _Calibration:
        return cls(replace(source, body=copy.deepcopy(source.body)), start, timesteps)

    @property
    def balance(self) -> Balance:
        return replace(self.start, shift=self.shift)

    def correct_bias(self, name: str, ann: fx.GraphModule) -> None:
        """Mean error of one layer, per channel, into its shift."""
        network = self.source.spiking(self.balance, until=name)
        total, count = torch.zeros(()), 0
        for images, keys in self.source.keyed_batches():
            outputs = mean_outputs(network, images, keys, self.timesteps, wanted=name)[name]
            error = (activations(ann, images)[name] - outputs).transpose(0, 1).flatten(1)
            total = total.to(error.device) + error.sum(1)
            count += error.shape[1]
        self.shift[name] = (total / count).float()

    def fit_weights(
        self, name: str, ann: fx.GraphModule, passes: int, learning_rate: float
    ) -> None:
        """Fit the layers in front of one activation, its input being what the SNN sends."""
        body = self.source.body
        synapses = _synapses_before(body, name)
        if not synapses:
            return
        parameters = [p for layer in synapses for p in layer.parameters()]
        network = self.source.spiking(self.balance, until=name)
        optimiser = torch.optim.Adam(parameters, lr=learning_rate)
        given = [
            (images, mean_outputs(network, images, keys, self.timesteps))
            for images, keys in self.source.keyed_batches(BATCH_SIZE)
        ]
        theta, start = self.balance.theta[name], self.balance.start[name]
        with torch.enable_grad():
            for parameter in parameters:
                parameter.requires_grad_()
            for images, outputs in given * passes:
                target = activations(ann, images)[name]
                before = {k: v for k, v in outputs.items() if k != name}
                current = Replay(body, before, name).current(images)
                loss = F.mse_loss(_rounded(current, theta, start, self.timesteps), target)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            for parameter in parameters:
                parameter.requires_grad_(False)


def _refuse_shared_weights(source: Source) -> None:
    calls: dict[Tensor, list[str]] = {}
    for node, layer in layers(source.body, Kind.SYNAPSE):
        for weight in layer.parameters():
            calls.setdefault(weight, []).append(str(node.meta.get("path", node.target)))
    shared = next((paths for paths in calls.values() if len(paths) > 1), None)
    if shared is not None:
        raise UnsupportedNetwork(
            f"calibration: level 'advanced' fits the weights of every layer, and {shared[0]} and "
            f"{shared[1]} share theirs: use level 'light'"
        )


def _rounded(current: Tensor, theta: Tensor, start: Tensor, timesteps: int) -> Tensor:
    """Mean output for an even current; the rounding has the slope 1, the clipping 0."""
    spikes = (timesteps * current / theta + start / theta).clamp(0, timesteps + 0.5)
    return (spikes + (spikes.floor() - spikes).detach()) * theta / timesteps


def _synapses_before(body: fx.GraphModule, name: str) -> list[nn.Module]:
    """The layers with weights between an activation and the activations before it."""
    found: list[nn.Module] = []
    waiting = [next(n for n in body.graph.nodes if n.name == name)]
    while waiting:
        for source in waiting.pop().all_input_nodes:
            kind = kind_of(body, source)
            if kind is Kind.SYNAPSE:
                layer = body.get_submodule(str(source.target))
                assert isinstance(layer, SYNAPSES)
                if layer not in found:  # a value may be read twice
                    found.append(layer)
            elif kind is not Kind.ACTIVATION:
                waiting.append(source)
    return found
