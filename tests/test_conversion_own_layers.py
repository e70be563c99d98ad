"""Networks as people write them: operations in place, subclasses of layers, computed weights."""

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from conversion import SilentLayer, convert
from conversion.convert import prepare_ann
from network.graph import UnsupportedNetwork, trace
from tests.small_networks import images


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


class Two(nn.Module):
    """Two convolutions with a step of the test's own between them."""

    def __init__(self, between: Callable[["Two", Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 5)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.between(self, self.first(x))).mean((2, 3)))


def relu_function(net: Two, x: Tensor) -> Tensor:
    F.relu(x, inplace=True)
    return net.second(x)


def relu_positional(net: Two, x: Tensor) -> Tensor:
    F.relu(x, True)
    return net.second(x)


def relu_method(net: Two, x: Tensor) -> Tensor:
    x.relu_()
    return net.second(x)


def relu_module(net: Two, x: Tensor) -> Tensor:
    net.act(x)
    return net.second(x)


def sum_method(net: Two, x: Tensor) -> Tensor:
    active = F.relu(x)
    result = net.second(active)
    result.add_(active)
    return result


def pre_activation(net: Two, x: Tensor) -> Tensor:
    """The shortcut reads what the ReLU in place has made of x."""
    return net.second(net.act(x)) + x


def read_before(net: Two, x: Tensor) -> Tensor:
    """What was computed from x before it changes stays as it was."""
    before = net.second(x)
    return net.second(net.act(x)) + before


IN_PLACE = [
    relu_function, relu_positional, relu_method, relu_module, sum_method, pre_activation,
    read_before,
]  # fmt: skip


@pytest.mark.parametrize("between", IN_PLACE)
def test_what_is_written_in_place_is_read(between: Callable[[Two, Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    model, x = Two(between).eval(), images(6)
    expected = model(x.clone())
    torch.testing.assert_close(trace(copy.deepcopy(model))(x.clone()), expected)
    result = convert(model, x, method="half-shift", options={"thresholds": "data-norm"})
    assert len(result.thresholds) == 2
    with torch.no_grad():
        scores = result.network(x, 800)[-1]
    torch.testing.assert_close(scores, expected, rtol=0.02, atol=4e-3)


class NormAndReLU(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        return F.relu(super().forward(input))


class Standardised(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(input, weight, self.bias, padding=self.padding)


class StandardisedInside(nn.Conv2d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, weight - weight.mean(), bias)


class Leaky(nn.ReLU):
    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, 0.2)


class Shifted(nn.ReLU):
    """Its own code, of known parts."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (NormAndReLU(4), r"1 \(NormAndReLU\) computes in a way of its own"),
        (Standardised(4, 4, 3, padding=1), r"conv2d \(conv2d\) cannot .*\(in 1, Standardised\)"),
        (StandardisedInside(4, 4, 3, padding=1), r"\(in 1, StandardisedInside\)"),
        (Leaky(), r"leaky_relu \(leaky_relu\) cannot become spiking: .*\(in 1, Leaky\)"),
    ],
)
def test_a_layer_that_computes_otherwise_is_refused_by_name(layer: nn.Module, words: str) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), layer, nn.ReLU(), nn.Flatten(), nn.Linear(256, 5)
    ).eval()
    with pytest.raises(UnsupportedNetwork, match=words):
        convert(model, images(4), method="data-norm")


def test_a_relu_of_ones_own_is_found_inside() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), Shifted(), nn.Flatten(), nn.Linear(256, 5))
    assert len(convert(model, images(4), method="data-norm").thresholds) == 1


class Random(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5)  # in eval mode too


def test_a_network_that_the_graph_does_not_reproduce_is_refused() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), Random(), nn.Flatten(), nn.Linear(256, 5))
    with pytest.raises(UnsupportedNetwork, match="computes something else by itself than layer"):
        convert(model.train(), images(4), method="data-norm")
    assert model[2].training
    assert model.training


class Scores(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.ReLU(), nn.Linear(4, 2))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"scores": self.layer(x)}


def test_a_network_returns_one_tensor() -> None:
    with pytest.raises(UnsupportedNetwork, match="must return one tensor, got dict"):
        convert(Scores(), images(4), method="data-norm")


def pruned(layer: nn.Conv2d) -> None:
    prune.l1_unstructured(layer, "weight", 0.3)


def old_weight_norm(layer: nn.Conv2d) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        weight_norm(layer)


@pytest.mark.parametrize(
    "change",
    [pruned, old_weight_norm, spectral_norm, parametrizations.weight_norm,
     parametrizations.spectral_norm],
)  # fmt: skip
def test_computed_weights_take_a_batch_norm(change: Callable[[nn.Conv2d], object]) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4)
    norm.running_mean, norm.running_var = torch.randn(4), torch.rand(4) + 0.5
    layer = nn.Conv2d(3, 4, 3, padding=1)
    change(layer)
    model = nn.Sequential(layer, norm, nn.ReLU(), nn.Flatten(), nn.Linear(256, 5)).eval()
    x = images(4)
    with torch.no_grad():
        expected = model(x)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        body, folded, _ = prepare_ann(model)
        torch.testing.assert_close(body(x), expected)
    assert folded == ("1",)
    assert convert(model, x, method="data-norm").thresholds
    assert list(model.state_dict()) == list(before)
    torch.testing.assert_close(model(x), expected)


def test_sums_that_are_not_finite_are_said_to_be() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        model[1].weight.fill_(1.0)
    x = images(4)
    x[0] = 3e38
    with pytest.raises(ValueError, match="outputs are not finite on the calibration images"):
        convert(model, x, method="data-norm")
    late = torch.cat([images(4), x])  # behind the images that the outputs are compared on
    with pytest.raises(SilentLayer, match="layer 2 gets a threshold that is not finite"):
        convert(model, late, method="data-norm")
