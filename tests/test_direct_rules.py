"""Contract of every training rule: it learns, is deterministic, refuses what it does not take."""

import copy

import pytest
import torch
from torch import nn

from direct import RULES, OptionError, prepare
from direct.bptt import balance_thresholds
from direct.hybrid import Scaled
from direct.presets import PRESETS
from direct.surrogates import FastSigmoid
from network.encodings import ENCODINGS
from network.graph import UnsupportedNetwork
from network.observation import delayed
from network.readouts import READOUTS
from network.registry import UnknownName
from tests.direct_networks import (
    Residual,
    Toy,
    WithoutNorm,
    accuracy,
    converted,
    prepared,
    seeded,
    trained,
)

STEPS = {"membrane-bp": 40, "spike-bp": 16}
RATES = {"hybrid": 1e-2, "diet": 1e-2, "spike-bp": 5e-3}  # few updates: faster than the rules'


@pytest.mark.parametrize("rule", RULES.names())
def test_every_rule_learns_the_toy(rule: str) -> None:
    toy, steps = Toy(), STEPS.get(rule, 4)
    trainable = prepared(rule, steps)
    trained(trainable, toy, rate=RATES.get(rule))
    network = trainable.finish()
    assert not network.training
    assert accuracy(network, toy, steps) >= 0.95


@pytest.mark.parametrize("rule", RULES.names())
def test_the_same_seed_gives_the_same_loss_and_gradients(rule: str) -> None:
    toy, results = Toy(20), []
    for _ in range(2):
        trainable = prepared(rule, 6)
        trainable.network.train()
        loss, scores = trainable.objective(toy.images, toy.labels, torch.arange(20))
        loss.backward()
        gradients = [p.grad for p in trainable.network.parameters()]
        results.append((loss.detach(), scores.detach(), gradients))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    for one, other in zip(results[0][2], results[1][2], strict=True):
        assert one is not None
        assert torch.equal(one, other)
        assert torch.isfinite(one).all()


@pytest.mark.parametrize("rule", RULES.names())
def test_a_finished_network_holds_no_surrogate_and_takes_more_steps(rule: str) -> None:
    network = prepared(rule, 3).finish()
    assert all(neuron.slope is None for neuron in network.neurons().values())
    with torch.no_grad():
        assert network(Toy(4).images, 7, torch.arange(4)).shape == (7, 4, 2)


@pytest.mark.parametrize("rule", RULES.names())
def test_entries_name_things_that_exist(rule: str) -> None:
    entry = RULES.get(rule)
    assert entry.name == rule
    assert entry.encoding in ENCODINGS
    assert entry.readout in READOUTS
    assert entry.summary
    assert entry.source


@pytest.mark.parametrize("name", PRESETS.names())
def test_presets_name_things_that_exist_and_options_of_their_rule(name: str) -> None:
    from network.architectures import ARCHITECTURES
    from network.options import resolve

    preset = PRESETS.get(name)
    rule = RULES.get(preset.rule)
    assert preset.architecture in ARCHITECTURES
    assert preset.encoding in ENCODINGS
    assert preset.readout in READOUTS
    resolved = resolve(name, rule.options, preset.options)
    assert all(resolved[key] == value for key, value in preset.options.items())


def test_weights_are_shared_with_the_model() -> None:
    model = seeded(WithoutNorm)
    trainable = prepared("bptt", model=model)
    weights = {p.data_ptr() for p in model.parameters()}
    assert {p.data_ptr() for p in trainable.network.parameters()} == weights


def test_unknown_rule_and_option_say_what_is_known() -> None:
    with pytest.raises(UnknownName, match="unknown rule 'bpt'; did you mean 'bptt'"):
        prepared_with(rule="bpt")
    with pytest.raises(OptionError, match="bptt has no option 'gama'; did you mean 'gamma'"):
        prepared_with(options={"gama": 1.0})
    with pytest.raises(OptionError, match="bptt: gamma must be of type float"):
        prepared_with(options={"gamma": "wide"})
    with pytest.raises(OptionError, match="bptt: reset must be one of soft, hard, got 'none'"):
        prepared_with(options={"reset": "none"})
    with pytest.raises(ValueError, match="timesteps must be at least 1, got 0"):
        prepared_with(timesteps=0)


def prepared_with(rule: str = "bptt", timesteps: int = 2, options: dict | None = None) -> None:
    toy = Toy(4)
    prepare(
        seeded(WithoutNorm), rule=rule, timesteps=timesteps, options=options,
        images=toy.images, labels=toy.labels,
    )  # fmt: skip


def test_hybrid_needs_a_start_and_others_refuse_one() -> None:
    toy, start = Toy(4), converted(seeded(WithoutNorm))
    sample = {"timesteps": 2, "images": toy.images, "labels": toy.labels}
    with pytest.raises(ValueError, match="hybrid trains on from a converted network"):
        prepare(seeded(WithoutNorm), rule="hybrid", **sample)
    with pytest.raises(ValueError, match="bptt starts from a model"):
        prepare(None, rule="bptt", start=start, **sample)


def test_a_network_without_relu_is_refused() -> None:
    toy = Toy(4)
    with pytest.raises(UnsupportedNetwork, match="Sequential has no ReLU"):
        prepare(
            nn.Sequential(nn.Flatten(), nn.Linear(36, 2)), rule="bptt", timesteps=2,
            images=toy.images, labels=toy.labels,
        )  # fmt: skip


def test_balanced_thresholds_by_hand() -> None:
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False),
                          nn.ReLU(), nn.Linear(1, 2))  # fmt: skip
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [0.5]]))
        model[2].weight.copy_(torch.tensor([[3.0, 4.0]]))
    images = torch.tensor([[1.0], [2.0]])
    trainable = prepare(model, rule="bptt", timesteps=4, images=images, labels=torch.zeros(2))
    first, second = trainable.network.neurons().values()
    # Largest current of layer 1: 2·1. With θ = 2 the image of 2 spikes in neuron 1 at every step,
    # in neuron 2 (current 1) at steps 2 and 4: the largest current of layer 2 is 3 + 4.
    assert first.theta.item() == 2.0
    assert second.theta.item() == 7.0
    assert trainable.network.observation is None


def test_batch_norm_networks_are_not_balanced() -> None:
    network = prepared("bptt", model=seeded(Residual)).network
    assert [neuron.theta.item() for neuron in network.neurons().values()] == [1.0, 1.0]


class PartlyNormalised(nn.Module):
    """Features with batch norm, a classifier without; a shortcut behind the norms."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)
        self.again, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.hidden, self.output = nn.Linear(48, 8), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.conv(x)))
        x = torch.relu(self.second(self.again(x)) + x)
        out: torch.Tensor = self.output(torch.relu(self.hidden(x.flatten(1))))
        return out


@pytest.mark.parametrize("rule", ["bptt", "rate-bp"])
def test_neurons_without_a_norm_are_balanced_beside_those_that_have_one(rule: str) -> None:
    network = prepared(rule, model=seeded(PartlyNormalised)).network
    thetas = [neuron.theta.item() for neuron in network.neurons().values()]
    assert thetas[:2] == [1.0, 1.0]
    assert thetas[2] != 1.0
    norm = network.body.get_submodule("norm")
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.num_batches_tracked == 0
    assert torch.equal(norm.running_mean, torch.zeros(3))


def test_hybrid_starts_where_the_conversion_ended() -> None:
    toy, start = Toy(20), converted(seeded(WithoutNorm))
    expected = start(toy.images, 6)[-1].detach()
    trainable = prepare(
        None, rule="hybrid", timesteps=6, images=toy.images, labels=toy.labels,
        start=copy.deepcopy(start),
    )  # fmt: skip
    _, scores = trainable.objective(toy.images, toy.labels, torch.arange(20))
    torch.testing.assert_close(scores.detach(), expected)


@pytest.mark.parametrize("rule", ["hybrid", "diet"])
def test_observation_steps_are_not_dropped_in_silence(rule: str) -> None:
    toy, start = Toy(20), converted(seeded(WithoutNorm))
    start.observation = delayed(3)
    with pytest.raises(ValueError, match="without observation steps, got one that spends 3"):
        prepare(None, rule=rule, timesteps=6, images=toy.images, labels=toy.labels, start=start)


def test_the_surrogate_of_a_converted_layer_is_in_units_of_its_channels_thresholds() -> None:
    slope = Scaled(FastSigmoid(gamma=1.0), torch.tensor([2.0, 0.5]))
    x = torch.tensor([1.0, 1.0]).view(1, 2, 1)
    # slope(x/θ)/θ: 1/(1 + ½)²/2 and 1/(1 + 2)²/½
    assert slope(x).flatten().tolist() == pytest.approx([1 / 1.5**2 / 2, 1 / 3.0**2 * 2])


def test_diet_trains_thresholds_and_leaks() -> None:
    trainable = prepared("diet")
    names = {name.split(".")[-1] for name, _ in trainable.network.named_parameters()}
    assert {"theta", "leak"} <= names
    before = [n.theta.item() for n in trainable.network.neurons().values()]
    trained(trainable, Toy(), epochs=2)
    after = [n.theta.item() for n in trainable.finish().neurons().values()]
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert all(n.dynamics.decay <= 1.0 for n in trainable.network.neurons().values())


def test_the_surrogate_of_diet_follows_the_trained_threshold() -> None:
    trainable = prepared("diet")
    trained(trainable, Toy(), epochs=1)
    for neuron in trainable.network.neurons().values():
        assert isinstance(neuron.slope, Scaled)
        assert torch.equal(neuron.slope.theta, neuron.theta.detach())


def test_trained_leaks_stand_in_the_weights() -> None:
    trainable = prepared("diet")
    start = copy.deepcopy(trainable.finish())
    second = prepared("diet")
    for neuron, leak in zip(second.network.neurons().values(), (0.9, 0.75), strict=True):
        assert neuron.leak is not None
        neuron.leak.data.fill_(leak)
    network = second.finish()
    decays = [neuron.dynamics.decay for neuron in network.neurons().values()]
    assert decays == pytest.approx([0.9, 0.75])
    start.load_state_dict(network.state_dict())
    assert [neuron.dynamics.decay for neuron in start.neurons().values()] == decays
    images = Toy(8).images
    with torch.no_grad():
        assert torch.equal(start(images, 5), network(images, 5))


def test_balancing_leaves_a_silent_layer_at_its_threshold() -> None:
    trainable = prepared("bptt", model=seeded(WithoutNorm))
    with torch.no_grad():
        for parameter in trainable.network.parameters():
            parameter.zero_()
    from direct.rules import Task

    toy = Toy(8)
    task = Task(
        trainable.network.body, 2, {}, trainable.recipe, "constant", "mean-current",
        toy.images, toy.labels, 0,
    )  # fmt: skip
    thetas = [n.theta.item() for n in trainable.network.neurons().values()]
    balance_thresholds(trainable.network, task)
    assert [n.theta.item() for n in trainable.network.neurons().values()] == thetas


@pytest.mark.parametrize(
    ("rule", "options", "line"),
    [
        ("bptt", {"tau": 5.0}, "bptt: tau has no effect with neuron = 'if'"),
        ("tdbn", {"tau": 5.0, "neuron": "if"}, "tdbn: tau has no effect with neuron = 'if'"),
        (
            "spike-bp",
            {"pooling_threshold": 0.5, "spiking_pooling": False},
            "spike-bp: pooling_threshold has no effect with spiking_pooling = False",
        ),
    ],
)
def test_an_option_without_effect_is_refused(
    rule: str, options: dict[str, object], line: str
) -> None:
    with pytest.raises(OptionError, match=f"{line}: leave it out, got "):
        prepared(rule, options=options)


@pytest.mark.parametrize("rule", ["spike-bp", "rate-bp"])
def test_rules_on_mean_rates_refuse_a_loss_of_every_step(rule: str) -> None:
    with pytest.raises(OptionError, match="loss cannot be 'tet': training goes back through mean"):
        prepared(rule, 2, options={"loss": "tet"})
