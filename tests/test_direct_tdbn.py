"""tdBN (Zheng 2021): what it normalises to, its placement, folded = unfolded."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from compare.sweep import folded
from direct import OptionError, prepare
from direct.normalisation import (
    ThresholdNorm1d,
    ThresholdNorm2d,
    ThresholdNorm3d,
    fold_threshold_norm,
    install_threshold_norm,
)
from network.architectures import Geometry, build
from network.graph import Kind, UnsupportedNetwork, kind_of, layers, trace
from network.neurons import NeuronState
from network.unroll import unroll
from tests.direct_networks import (
    Convolutional,
    Residual,
    Toy,
    WithoutNorm,
    prepared,
    seeded,
    trained,
)


def test_normalises_to_the_square_of_alpha_theta() -> None:
    norm = ThresholdNorm2d(3, gain=0.5)
    x = 4.0 + 3.0 * torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    y = norm(x)
    assert y.mean((0, 2, 3)).tolist() == pytest.approx([0.0] * 3, abs=1e-5)
    assert y.std((0, 2, 3)).tolist() == pytest.approx([0.5] * 3, rel=1e-3)


def test_values_by_hand() -> None:
    norm = ThresholdNorm1d(1, gain=2.0)
    with torch.no_grad():
        norm.weight.fill_(3.0)
        norm.bias.fill_(1.0)
    # mean 2, variance 1: x̂ = 2·(x − 2)/√(1 + 1e-5), y = 3x̂ + 1
    y = norm(torch.tensor([[1.0], [3.0]]))
    scaled = 2.0 / math.sqrt(1 + 1e-5)
    assert y.flatten().tolist() == pytest.approx([1 - 3 * scaled, 1 + 3 * scaled])


def test_statistics_are_those_of_all_steps_together() -> None:
    network = prepared("tdbn", 5).network.train()
    seen = []
    norm = next(m for _, m in layers(network.body, Kind.NORM))
    handle = norm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[0]))
    unroll(network, Toy(6).images, 5, keys=torch.arange(6))
    handle.remove()
    assert seen == [6]  # in front of the first neurons a constant image is the same at every step
    second = prepared("tdbn", 5, model=seeded(Residual)).network.train()
    norms = [m for _, m in layers(second.body, Kind.NORM)]
    norms[1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[0]))
    unroll(second, Toy(6).images, 5)
    assert seen[1:] == [30]  # T·B


def test_both_branches_of_a_sum_share_the_variance() -> None:
    body = trace(seeded(Residual))
    install_threshold_norm(body, theta=2.0, alpha=1.0)
    gains = [norm.gain for _, norm in layers(body, Kind.NORM)]
    # stem: αθ = 2; in front of the sum, the identity shortcut too: θ/√2
    assert gains == pytest.approx([2.0, 2.0 / math.sqrt(2), 2.0 / math.sqrt(2)])


@pytest.mark.parametrize("architecture", ["resnet9", "resnet19"])
def test_what_reaches_the_last_neuron_of_a_block_starts_with_the_square_of_theta(
    architecture: str,
) -> None:
    model = build(architecture, Geometry(3, 16, 16, 10), seed=0, width=0.125)
    images = torch.rand(16, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    trainable = prepare(
        model, rule="tdbn", timesteps=4, images=images, labels=torch.zeros(16, dtype=torch.long)
    )
    body = trainable.network.train().body
    sums = [node for node in body.graph.nodes if kind_of(body, node) is Kind.SUM]
    for total in sums:
        kinds = [kind_of(body, branch) for branch in total.all_input_nodes]
        assert kinds == [Kind.NORM, Kind.NORM]
    seen: dict[str, list[Tensor]] = {}

    class Spread:
        def inputs(self, first: int, inputs: Tensor) -> None:
            pass

        def neurons(
            self, name: str, first: int, current: Tensor, spikes: Tensor, state: NeuronState
        ) -> None:
            seen.setdefault(name, []).append(current)

    unroll(trainable.network, images, 4, taps=[Spread()])
    behind = [node.name for total in sums for node in total.users]
    spreads = [torch.cat(seen[name]).std().item() for name in behind]
    assert spreads == pytest.approx([1.0] * len(sums), abs=0.3)  # branches are not independent


class Branches(nn.Module):
    """Behind neurons a sum of three: two of a norm each, and a norm or the spikes themselves."""

    def __init__(self, identity: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.convs = nn.ModuleList([nn.Conv2d(4, 4, 3, padding=1) for _ in range(3)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(4) for _ in range(4)])
        self.identity, self.output = identity, nn.Linear(144, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norms[3](self.stem(x)))
        one, two, three = (self.norms[k](self.convs[k](x)) for k in range(3))
        out: Tensor = self.output(
            torch.relu(one + two + (x if self.identity else three)).flatten(1)
        )
        return out


@pytest.mark.parametrize("identity", [False, True])
def test_three_branches_of_a_sum_share_the_variance(identity: bool) -> None:
    torch.manual_seed(0)
    body = trace(Branches(identity))
    install_threshold_norm(body, theta=2.0, alpha=1.0)
    gains = [norm.gain for _, norm in layers(body, Kind.NORM)]
    assert gains == pytest.approx([2.0] + 3 * [2.0 / math.sqrt(3)])


class PlainHead(nn.Module):
    """Features with batch norm, hidden layers of the classifier without."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU())
        self.classifier = nn.Sequential(nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classifier(self.features(x).flatten(1))
        return out


def test_layers_without_norm_get_one_beside_those_that_have_one() -> None:
    body = trace(seeded(PlainHead))
    install_threshold_norm(body, theta=1.0, alpha=1.0)
    kinds = [type(norm) for _, norm in layers(body, Kind.NORM)]
    assert kinds == [ThresholdNorm2d, ThresholdNorm1d]


def test_a_network_without_norm_gets_one_before_every_neuron() -> None:
    body = trace(seeded(WithoutNorm))
    install_threshold_norm(body, theta=1.0, alpha=1.0)
    kinds = [type(norm) for _, norm in layers(body, Kind.NORM)]
    assert kinds == [ThresholdNorm2d, ThresholdNorm1d]  # not behind the output layer


@pytest.mark.parametrize("model", [Convolutional, WithoutNorm, Residual])
def test_folded_equals_unfolded(model: type[nn.Module]) -> None:
    toy, trainable = Toy(), prepared("tdbn", 4, model=seeded(model))
    trained(trainable, toy, epochs=2)
    network = trainable.network.eval()
    norms = len(list(layers(network.body, Kind.NORM)))
    with torch.no_grad():
        expected = network(toy.images, 6)
        layer_names = fold_threshold_norm(network.body)
        torch.testing.assert_close(network(toy.images, 6), expected, atol=1e-4, rtol=1e-4)
    left = [node.name for node, _ in layers(network.body, Kind.NORM)]
    assert len(layer_names) == norms - len(left) > 0
    assert left == (["add_relu_tdbn"] if model is Residual else [])  # no layer stands before it


class Pooled(nn.Module):
    """Norms that no layer of their own stands in front of: behind pooling, two into one sum."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(1, 3, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(3), nn.BatchNorm2d(3)])
        self.pool, self.output = nn.AvgPool2d(2), nn.Linear(27, 2)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.norms[0](self.pool(self.one(x))), self.norms[1](self.pool(self.two(x)))
        out: Tensor = self.output(torch.relu(left + right).flatten(1))
        return out


class Twice(nn.Module):
    """One convolution called twice, each time with a norm of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.output = nn.Conv2d(1, 1, 3, padding=1), nn.Linear(36, 2)
        self.norms = nn.ModuleList([nn.BatchNorm2d(1), nn.BatchNorm2d(1)])

    def forward(self, x: Tensor) -> Tensor:
        for norm in self.norms:
            x = torch.relu(norm(self.conv(x)))
        out: Tensor = self.output(x.flatten(1))
        return out


@pytest.mark.parametrize("model", [Pooled, Twice, Residual, PlainHead])
@pytest.mark.parametrize("threshold", [1.0, 3.0])
def test_a_sweep_computes_what_the_trained_network_does(
    model: type[nn.Module], threshold: float
) -> None:
    own = seeded(model)
    trainable = prepared("tdbn", 4, options={"threshold": threshold}, model=own)
    trained(trainable, Toy(), epochs=1)
    before = copy.deepcopy(own.state_dict())
    network, images = trainable.network.eval(), Toy(12).images
    with torch.no_grad():
        expected = network(images, 6)
        for form in (trainable.finish(), folded(trainable.finish())):
            torch.testing.assert_close(form(images, 6), expected, atol=1e-4, rtol=1e-4)
    for name, value in own.state_dict().items():  # folding leaves the user's own layers alone
        assert torch.equal(value, before[name]), name


class Tokens(nn.Module):
    """A linear layer on tokens [B, N, F] with N = F, with or without batch norm over them."""

    def __init__(self, batch_norm: bool) -> None:
        super().__init__()
        self.hidden, self.output = nn.Linear(6, 6), nn.Linear(36, 2)
        self.norm = nn.BatchNorm1d(6) if batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.output(torch.relu(self.norm(self.hidden(x[:, 0]))).flatten(1))
        return out


@pytest.mark.parametrize("batch_norm", [False, True])
def test_tokens_behind_a_linear_layer_are_refused(batch_norm: bool) -> None:
    """The norm's channels would be the tokens, and folded they would be the features."""
    toy, trainable = Toy(6), prepared("tdbn", 2, model=Tokens(batch_norm))
    line = r"behind hidden \(Linear\) takes features \[B, F\], got 3 axes"
    with pytest.raises(UnsupportedNetwork, match=line):
        trainable.objective(toy.images, toy.labels, torch.arange(6))


def test_a_norm_of_three_axes_stays_one() -> None:
    body = trace(nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2), nn.ReLU()))
    install_threshold_norm(body, theta=1.0, alpha=1.0)
    ((_, norm),) = layers(body, Kind.NORM)
    assert isinstance(norm, ThresholdNorm3d)
    x = torch.randn(8, 1, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    assert norm(body.get_submodule("0")(x)).std().item() == pytest.approx(1.0, rel=0.01)


def test_finishing_folds() -> None:
    network = prepared("tdbn").finish()
    assert not list(layers(network.body, Kind.NORM))


@pytest.mark.parametrize("name", ["threshold", "alpha"])
def test_threshold_and_alpha_must_be_positive(name: str) -> None:
    with pytest.raises(OptionError, match=f"tdbn: {name} must be above 0, got 0"):
        prepared("tdbn", options={name: 0.0})
