"""Weights that are computed before every call count, train and sweep as plain ones."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, spectral_norm, weight_norm

from compare.sweep import folded
from conversion import convert
from direct import prepare
from direct.gradients import gradients_by_layer
from network.activity import count_activity
from network.graph import trace
from network.reparametrised import is_reparametrised, plain_copy
from network.unroll import unroll
from network.wiring import wiring

SHAPE = (3, 8, 8)

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")


class Half(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight * 0.5


WAYS: dict[str, Callable[[nn.Module], object]] = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "half": lambda layer: parametrize.register_parametrization(layer, "weight", Half()),
    "old weight norm": weight_norm,
    "old spectral norm": spectral_norm,
}


def network(way: Callable[[nn.Module], object] | None) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, 5)
    )
    for index in (0, 4) if way is not None else ():
        way(model[index])
    model(torch.randn(8, *SHAPE))  # running statistics of its own
    return model


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", WAYS)
def test_multiplications_are_those_of_plain_weights(name: str) -> None:
    plain, computed = (
        [s.operations for s in wiring(trace(network(way).eval()), SHAPE).synapses]
        for way in (None, WAYS[name])
    )
    assert computed == plain == [36 * 27 * 6, 216 * 5]


@pytest.mark.parametrize("name", WAYS)
def test_it_is_trained_and_swept(name: str, images: Tensor) -> None:
    model = network(WAYS[name]).train()
    labels = torch.arange(5)
    trainable = prepare(model, rule="bptt", timesteps=3, images=images, labels=labels)
    trainable.objective(images, labels, torch.arange(5))[0].backward()
    trained = trainable.finish()
    net = folded(trained)
    assert not is_reparametrised(net)
    counter = count_activity(net, SHAPE, 4)
    with torch.no_grad():
        swept = unroll(net, images, 4, taps=[counter])
        torch.testing.assert_close(swept, unroll(trained, images, 4))
    (spikes,) = counter.spikes.values()
    assert torch.equal(counter.accumulates["_4"], 5 * spikes)
    assert spikes.sum() > 0


@pytest.mark.parametrize("name", WAYS)
def test_a_copy_is_plain_and_the_model_stays(name: str, images: Tensor) -> None:
    model = network(WAYS[name])  # just called: tensors that a graph computed lie in it
    before = copy.deepcopy(model.state_dict())
    twin = plain_copy(model.eval())
    assert is_reparametrised(model)
    assert not is_reparametrised(twin)
    torch.testing.assert_close(twin(images), model(images))
    convert(model, images, method="data-norm")
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("rule", ["tdbn", "tune-width"])
@pytest.mark.parametrize("name", WAYS)
def test_gradients_of_computed_weights_are_measured(name: str, rule: str, images: Tensor) -> None:
    model = network(WAYS[name]).train()
    labels = torch.arange(5)
    trainable = prepare(model, rule=rule, timesteps=3, images=images, labels=labels)
    found = gradients_by_layer(trainable, images, labels)
    assert len(found) == 2
    assert all(gradient > 0 for gradient in found.values())


def test_computed_weights_are_not_drawn(images: Tensor) -> None:
    model, labels = network(WAYS["weight norm"]), torch.arange(5)
    with pytest.raises(ValueError, match="0 computes its own from others: choose draw_weights = f"):
        prepare(model, rule="spike-bp", timesteps=3, images=images, labels=labels)
