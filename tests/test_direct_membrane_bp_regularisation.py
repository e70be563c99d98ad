"""membrane-bp: what regularises weights and thresholds in training (Lee 2016, section 5)."""

import math

import pytest
import torch
from torch import Tensor, nn

from direct.membrane_bp import gradient as g
from direct.membrane_bp.group import Layer
from direct.membrane_bp.rule import regularise_thresholds
from network.recipe import learning_at
from tests.direct_networks import Toy, prepared


def test_the_exponent_of_regularisation_is_held_at_5() -> None:
    weight = torch.tensor([[1.0, 1.0]])  # β(Σw² − 1) = 10 at β = 10
    found = g.exponential_regularisation(weight, 0.02, 10.0)
    assert found.tolist()[0] == pytest.approx([0.02 * 10 * math.exp(5.0)] * 2)


@pytest.mark.parametrize(("name", "layer"), [("weight_lambda", 0), ("output_lambda", 1)])
def test_regularisation_joins_the_gradient_of_its_layers_only(name: str, layer: int) -> None:
    toy = Toy(10)
    gradients, weights = [], []
    for strength in (0.0, 0.5):
        options = {"weight_lambda": 0.0, "output_lambda": 0.0, name: strength}
        trainable = prepared("membrane-bp", 5, options=options)
        weights = [p for p in trainable.network.parameters() if p.ndim == 2]
        trainable.objective(toy.images, toy.labels, torch.arange(10)).loss.backward()
        gradients.append([p.grad for p in weights])
    for index, (plain, more) in enumerate(zip(*gradients, strict=True)):
        added = g.exponential_regularisation(weights[index].detach(), 0.5, 10.0)
        expected = added if index == layer else torch.zeros_like(added)
        torch.testing.assert_close(more - plain, expected, rtol=1e-4, atol=1e-5)


def test_threshold_regularisation_decays_with_the_learning_rate() -> None:
    toy, trainable = Toy(10), prepared("membrane-bp", 20, options={"rho": 0.01})
    theta = next(iter(trainable.network.neurons().values())).theta
    start = theta.detach().clone()

    def moved(share: float) -> Tensor:
        with torch.no_grad():
            theta.copy_(start)
        with learning_at(share):
            trainable.objective(toy.images, toy.labels, torch.arange(10))
        return theta.detach() - start

    assert moved(0.0).abs().max() == 0
    assert moved(1.0).abs().max() > 0
    torch.testing.assert_close(moved(0.25), moved(1.0) / 4, rtol=1e-4, atol=1e-6)


def test_weights_rise_for_what_regularisation_would_take_below_the_floor() -> None:
    """What the gradient took below it is given back, and raises no weight."""
    toy, trainable = Toy(10), prepared("membrane-bp", 5)
    hidden = next(iter(trainable.network.neurons().values()))
    weight = next(p for p in trainable.network.parameters() if p.ndim == 2)
    floor = 0.5 * hidden.theta[0].item()
    before = weight.detach().clone()
    with torch.no_grad():
        hidden.theta[0] = floor - 0.05
    images = torch.zeros_like(toy.images)  # no spikes: regularisation moves nothing
    trainable.objective(images, toy.labels, torch.arange(10))
    assert hidden.theta[0].item() == pytest.approx(floor)
    assert torch.equal(weight, before)


def test_a_silent_neuron_at_its_floor_takes_what_it_cannot_lose_as_weights() -> None:
    trainable = prepared("membrane-bp", 5)
    hidden = next(iter(trainable.network.neurons().values()))
    linear = next(m for m in trainable.network.modules() if isinstance(m, nn.Linear))
    layer = Layer("hidden", linear, hidden, floor=0.5)
    last = Layer("last", linear, hidden, floor=0.0)
    before = linear.weight.detach().clone()
    counts = torch.zeros(1, len(hidden.theta))
    counts[0, 1] = 2.0
    with torch.no_grad():
        hidden.theta.fill_(0.5)
    regularise_thresholds([layer, last], {"hidden": counts}, 0.01)
    # ρ(N·c − Σc): −0.02 for the silent ones, at their floor; neuron 1 gains 0.01·(2N − 2)
    units = len(hidden.theta)
    expected = torch.full((units,), 0.5)
    expected[1] = 0.5 + 0.02 * (units - 1)
    torch.testing.assert_close(hidden.theta.detach(), expected)
    risen = torch.full((units, 1), 0.02)
    risen[1] = 0.0
    torch.testing.assert_close(linear.weight.detach(), before + risen)
