"""Width tuning, the learning-rate range test, and the single-neuron losses."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from compare.case_context import CaseContext
from compare.run import result_of
from direct import SURROGATES, OptionError, Trainable
from direct.gradients import gradients_by_layer
from direct.range_test import learning_rate_range
from direct.single_neuron import (
    Run,
    class_energy,
    convolve,
    error_energy,
    filtered_error_energy,
    fit_spike_train,
    simulate,
)
from direct.surrogates import surrogate
from direct.tune_width import NoBalance, ratio_of_halves, tune
from network.fit import Outcome
from network.recipe import Recipe
from tests.direct_networks import Toy, prepared, seeded
from tests.test_ann_to_train import context_of


def falling(gamma: float) -> dict[str, float]:
    """Four layers whose gradients grow towards the first by 10/γ each."""
    return {f"layer{index}": (10.0 / gamma) ** (3 - index) for index in range(4)}


def test_ratio_of_halves_by_hand() -> None:
    assert ratio_of_halves([4.0, 2.0, 1.0, 1.0]) == 3.0  # 3 / 1
    assert ratio_of_halves([3.0, 1.0, 2.0]) == 2.0  # 3 / 1.5: the middle is in the second half


@pytest.mark.parametrize("start", [0.5, 10.0, 3000.0])
def test_bisection_finds_the_balance(start: float) -> None:
    tuning = tune(falling, start=start, tolerance=0.01)
    # ratio = (q³ + q²)/(q + 1) = q² with q = 10/γ: balanced at γ = 10
    assert tuning.ratio == pytest.approx(1.0, abs=0.01)
    assert tuning.gamma == pytest.approx(10.0, rel=0.01)
    assert len(tuning.rows) == 4 * tuning.evaluations
    assert tuning.rows[0] == {
        "parameter": "gamma", "value": start, "index": 0, "layer": "layer0",
        "gradient": (10.0 / start) ** 3,
    }  # fmt: skip


def test_no_balance_is_said() -> None:
    with pytest.raises(NoBalance, match="their ratio is 4 at γ"):
        tune(lambda gamma: {"a": 4.0, "b": 1.0})
    with pytest.raises(NoBalance, match="got 1 layer"):
        tune(lambda gamma: {"a": 4.0})
    with pytest.raises(NoBalance, match=r"\(inf: the second half of the layers has no gradients\)"):
        tune(lambda gamma: {"a": 4.0, "b": 0.0})


def step(gamma: float) -> dict[str, float]:
    """A ratio that jumps from 2 to ¼ at γ = 10."""
    return {"first": 2.0 if gamma < 10.0 else 0.25, "second": 1.0}


def test_a_width_outside_the_tolerance_is_said() -> None:
    assert tune(falling, tolerance=0.01).notes == []
    tuning = tune(step, start=2.0, tolerance=0.1, limit=12)
    assert tuning.ratio == 0.25  # |0.25 − 1| < |2 − 1|
    assert tuning.evaluations == 12
    (note,) = tuning.notes
    assert note.startswith("no γ within the tolerance: ratio 0.25 at γ = ")
    assert note.endswith("the nearest to 1 ± 0.1 of 12 tried")


def test_a_case_notes_a_width_outside_the_tolerance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = iter([2.0, 0.25])

    def measured(trainable: Trainable, images: Tensor, labels: Tensor) -> dict[str, float]:
        return {"first": next(seen, 0.25), "second": 1.0}

    monkeypatch.setattr("direct.tune_width.gradients_by_layer", measured)
    context = context_of(tmp_path, "mlp-30-20", epochs=1, batch_size=40, learning_rate=0.01)
    names = {"method": "tune-width", "base": "tune-width", "arm": "direct"}
    case = replace(context.case, **names, timesteps=2, train_timesteps=2)
    result = result_of(case, CaseContext(case, "a", None, context.place))
    assert result.extra["tuning"]["ratio"] == 0.25
    assert result.extra["tuning"]["tolerance"] == 0.05
    (note,) = result.extra["notes"]
    assert note.startswith("no γ within the tolerance: ratio 0.25 at γ = ")


class Deep(nn.Sequential):
    def __init__(self) -> None:
        inner = [layer for _ in range(6) for layer in (nn.Linear(24, 24), nn.ReLU())]
        super().__init__(nn.Flatten(), nn.Linear(36, 24), nn.ReLU(), *inner, nn.Linear(24, 2))


def deep() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Deep()
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / layer.in_features))
    return model


def test_wide_slopes_explode_narrow_ones_vanish_the_tuned_one_balances() -> None:
    toy = Toy(60)
    trainable = prepared("tune-width", 6, model=deep())
    rows = trainable.records["gradients"]
    by_value: dict[float, list[float]] = {}
    for row in rows:
        by_value.setdefault(row["value"], []).append(row["gradient"])
    ratios = {value: ratio_of_halves(column) for value, column in by_value.items()}
    assert min(abs(ratio - 1) for ratio in ratios.values()) <= 0.1
    slope = next(iter(trainable.network.neurons().values())).slope
    best = min(ratios, key=lambda value: abs(ratios[value] - 1))
    assert slope.gamma == pytest.approx(best)
    fixed = {}
    for gamma in (0.2, 50.0):
        other = prepared("bptt", 6, model=deep(), options={"gamma": gamma})
        gradients = gradients_by_layer(other, toy.images, toy.labels)
        fixed[gamma] = ratio_of_halves(list(gradients.values()))
    assert fixed[0.2] > 2
    assert fixed[50.0] < 0.5


@pytest.mark.parametrize("name", SURROGATES.names())
def test_tuning_refuses_slopes_whose_height_follows_their_width(name: str) -> None:
    narrow, wide = (surrogate(name, width).slope(torch.zeros(1)).item() for width in (0.5, 2.0))
    if narrow == wide:
        assert prepared("tune-width", 2, options={"surrogate": name}).facts["tuning"]["gamma"] > 0
        return
    with pytest.raises(OptionError, match="it is the higher the narrower it is"):
        prepared("tune-width", 2, options={"surrogate": name})


def test_measuring_gradients_changes_nothing() -> None:
    toy, trainable = Toy(20), prepared("bptt")
    before = {name: value.clone() for name, value in trainable.network.state_dict().items()}
    mode = trainable.network.training
    gradients = gradients_by_layer(trainable, toy.images, toy.labels)
    assert len(gradients) == 3
    for name, value in trainable.network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None for p in trainable.network.parameters())
    assert trainable.network.training is mode


def test_gradients_of_layers_that_do_not_learn_are_left_out() -> None:
    toy, trainable = Toy(20), prepared("bptt")
    first, *others = gradients_by_layer(trainable, toy.images, toy.labels).items()
    trainable.network.get_submodule("body").get_parameter("0.weight").requires_grad_(False)
    rest = gradients_by_layer(trainable, toy.images, toy.labels)
    assert list(rest.items()) == others
    assert first[0] not in rest


def quadratic() -> Trainable:
    """½(w + b − 3)²: gradient descent on it converges below a learning rate of 1, not above."""
    line = seeded(Line)

    def objective(images: Tensor, labels: Tensor, keys: Tensor) -> Outcome:
        value = line(torch.ones(1, 1))
        return Outcome(0.5 * (value - 3.0).square().sum(), torch.zeros(len(labels), 2))

    recipe = Recipe(optimiser="sgd", momentum=0.0, weight_decay=0.0, batch_size=4)
    return Trainable(line, objective, recipe, lambda: line)


class Line(nn.Linear):
    def __init__(self) -> None:
        super().__init__(1, 1)


def test_range_test_finds_a_rate_and_puts_the_network_back() -> None:
    trainable = quadratic()
    before = {name: value.clone() for name, value in trainable.network.state_dict().items()}
    found = learning_rate_range(trainable, Toy(), seed=0, lowest=1e-3, highest=100, batches=80)
    rates = [rate for rate, _ in found.rows]
    assert rates == sorted(rates)
    assert rates[-1] < 10  # it stops where the loss blows up, soon above 1
    least = min(found.rows, key=lambda row: row[1])
    assert 0.1 < least[0] < 10  # next to no loss is left when the rate passes 1
    assert found.suggestion == pytest.approx(least[0] / 3)
    for name, value in trainable.network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in trainable.network.parameters())


def test_range_test_refuses_rates_that_do_not_rise_and_no_batches() -> None:
    with pytest.raises(ValueError, match="rates must rise from above 0"):
        learning_rate_range(prepared("bptt"), Toy(), seed=0, lowest=1.0, highest=0.1)
    with pytest.raises(ValueError, match="batches must be at least 1, got 0"):
        learning_rate_range(prepared("bptt"), Toy(), seed=0, batches=0)


POTENTIALS = torch.tensor([0.5, 1.5, 0.2], requires_grad=True)
RUN = Run(POTENTIALS, torch.tensor([0.0, 1.0, 0.0]))


def test_error_energy_by_hand() -> None:
    # target spikes at step 1 only: errors −1, +1, 0: −0.5 + 1.5
    loss = error_energy(RUN, torch.tensor([1.0, 0.0, 0.0]))
    assert loss.item() == pytest.approx(1.0)
    (slope,) = torch.autograd.grad(loss, [POTENTIALS])
    assert slope.tolist() == [-1.0, 1.0, 0.0]


def test_filtered_energy_by_hand() -> None:
    kernel = torch.tensor([1.0, 0.5])
    # error −1, 1, 0 filtered: −1, 1 − 0.5 = 0.5, 0.5; U filtered: 0.5, 1.75, 0.95
    loss = filtered_error_energy(RUN, torch.tensor([1.0, 0.0, 0.0]), kernel)
    assert loss.item() == pytest.approx(-0.5 + 0.875 + 0.475)
    assert convolve(torch.tensor([1.0, 0.0, 2.0]), kernel).tolist() == [1.0, 0.5, 2.0]


def test_filtered_energy_with_a_single_weight_is_the_plain_one() -> None:
    target = torch.tensor([0.0, 0.0, 1.0])
    filtered = filtered_error_energy(RUN, target, torch.ones(1))
    assert filtered.item() == pytest.approx(error_energy(RUN, target).item())


def test_class_energy_by_hand() -> None:
    # one spike, more than 0: the answer is 1; ΣU = 2.2
    assert class_energy(RUN, target=0).item() == pytest.approx(2.2)
    assert class_energy(RUN, target=1).item() == 0.0
    assert class_energy(RUN, target=1, count=1).item() == pytest.approx(-2.2)


@pytest.mark.parametrize("kernel", [None, torch.exp(-torch.arange(4.0))])
def test_one_neuron_learns_a_spike_train(kernel: torch.Tensor | None) -> None:
    generator = torch.Generator().manual_seed(3)
    inputs = (torch.rand(40, 60, generator=generator) < 0.1).float()
    target = torch.zeros(40)
    target[[5, 14, 22, 36]] = 1.0
    fit = fit_spike_train(
        inputs, target, kernel=kernel, generator=generator, updates=2000, learning_rate=0.003
    )
    assert fit.errors[-1] == 0
    assert torch.equal(fit.spikes, target)
    assert torch.equal(simulate(fit.weights, inputs).spikes, target)
