"""Networks at the edge of what converts: bounds, activations in place, shared weights."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import convert
from conversion.export.plain import load_plain, save_plain
from network.fixed import fixed_point, unroll_fixed
from network.graph import UnsupportedNetwork, swap_activations, trace
from network.neurons import Dynamics, Neuron
from network.unroll import SpikingNetwork, unroll
from tests.small_networks import images


def ones(*activations: nn.Module) -> nn.Module:
    """Layers of one weight each, 1, between these activations and behind the last."""
    layers: list[nn.Module] = []
    for activation in (*activations, None):
        layer = nn.Linear(1, 1, bias=False)
        nn.init.ones_(layer.weight)
        layers += [layer] if activation is None else [layer, activation]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("method", ["local-balance", "model-norm"])
def test_what_follows_a_clipped_activation_sees_no_more_than_its_bound(method: str) -> None:
    """Currents reach 20, a ReLU6 sends 6 of them, and the next layer's threshold is at most 6."""
    x = torch.linspace(1, 20, 50).view(-1, 1)
    found = convert(ones(nn.ReLU6(), nn.ReLU()), x, method=method).thresholds
    first, second = (float(theta.max()) for theta in found.values())
    assert first == 6.0
    assert 5.5 < second <= 6.0


def advanced(model: nn.Module) -> dict[str, Tensor]:
    options = {"level": "advanced", "timesteps": 4, "learning_rate": 1e-2, "passes": 2}
    network = convert(model, images(12), method="calibration", options=options).network
    return {name: value for name, value in network.body.state_dict().items() if "weight" in name}


def two_layers(inplace: bool) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(inplace), nn.Flatten(),
        nn.Linear(216, 8), nn.ReLU(inplace), nn.Linear(8, 4),
    )  # fmt: skip


def test_calibration_fits_the_same_weights_with_activations_in_place() -> None:
    first, second = advanced(two_layers(False)), advanced(two_layers(True))
    assert list(first) == list(second)
    for name, weight in first.items():
        assert torch.equal(weight, second[name]), name


def test_an_activation_in_place_leaves_the_calibration_images_alone() -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(192, 4))
    x = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    convert(model, x, method="data-norm")
    assert torch.equal(x, before)


class WritesThroughAView(nn.Module):
    """The ReLU in its place changes h, of which it reads a view."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu = nn.Linear(6, 8), nn.ReLU(inplace=True)
        self.left, self.right = nn.Linear(8, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        y = self.relu(h.unflatten(1, (2, 4)))
        return self.left(h) + self.right(y.mean(1))


def test_writing_through_a_view_is_refused() -> None:
    torch.manual_seed(0)
    model, x = WritesThroughAView(), torch.randn(9, 6)
    with pytest.raises(UnsupportedNetwork, match="by itself than layer by layer"):
        convert(model, x, method="data-norm")


class Tied(nn.Module):
    """One weight in two layers, or one layer called twice."""

    def __init__(self, calls: bool) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        if calls:
            self.b = self.a
        else:
            self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.b(F.relu(self.a(x)))))


@pytest.mark.parametrize("calls", [True, False])
def test_shared_weights_are_not_fitted(calls: bool) -> None:
    torch.manual_seed(0)
    model, x = Tied(calls), torch.rand(9, 6)
    with pytest.raises(UnsupportedNetwork, match="share theirs: use level 'light'"):
        convert(model, x, method="calibration", options={"level": "advanced"})
    convert(model, x, method="calibration")


class Diamond(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.same, self.head = nn.Linear(6, 6), nn.Identity(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.first(x)
        return self.head(F.relu(z + self.same(z)))


@pytest.mark.filterwarnings("error")
def test_a_layer_that_is_read_twice_is_fitted_once() -> None:
    torch.manual_seed(0)
    convert(Diamond(), torch.rand(9, 6), method="calibration", options={"level": "advanced"})


def test_a_converted_network_is_in_eval_mode() -> None:
    network = convert(two_layers(False), images(6), method="data-norm").network
    assert not any(module.training for module in network.modules())


class OtherAxis(nn.Module):
    """Images leave the first axis, or another axis joins them there, around an activation."""

    def __init__(self, move: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)
        self.move, self.back = move, back

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.back(F.relu(self.move(F.relu(self.first(x)))))).mean(1)


@pytest.mark.parametrize(
    ("move", "back"),
    [
        (lambda x: x.permute(1, 0, 2), lambda x: x.permute(1, 0, 2)),
        (lambda x: x.flatten(0, 1), lambda x: x.unflatten(0, (-1, 5))),
    ],
)
def test_images_must_stay_in_the_first_axis(
    move: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor]
) -> None:
    body = trace(OtherAxis(move, back).eval())
    swap_activations(body, lambda name, module: Neuron(Dynamics(1.0, "soft"), theta=1.0))
    with pytest.raises(UnsupportedNetwork, match=r"reads has .* rows for 3 images and 4 steps"):
        unroll(SpikingNetwork(body), torch.rand(3, 5, 4), 4)


@pytest.mark.parametrize("bits", [8, 16, 24])
def test_scores_of_any_size_are_as_fine_in_whole_numbers(bits: int) -> None:
    """The last layer 2⁻²⁰ times as large: the same scores, 2⁻²⁰ times as large."""
    model, x = two_layers(False).eval(), images(8)
    small = copy.deepcopy(model)
    with torch.no_grad():
        small[-1].weight.mul_(2.0**-20)
        small[-1].bias.mul_(2.0**-20)
    scores = []
    for network in (model, small):
        snn = convert(network, x, method="data-norm").network
        scores.append(snn.read(unroll_fixed(fixed_point(snn, (3, 8, 8), bits), x, 12)))
    assert torch.equal(scores[0], scores[1] * 2.0**20)


class Difference(nn.Module):
    """relu(u − v): largest where v, which follows the other pixel, is smallest."""

    def __init__(self) -> None:
        super().__init__()
        self.u, self.v, self.head = (nn.Linear(2, 2, bias=False) for _ in range(3))
        with torch.no_grad():
            self.u.weight.copy_(torch.eye(2))
            self.v.weight.copy_(0.5 * torch.eye(2).flip(0))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(torch.add(F.relu(self.u(x)), F.relu(self.v(x)), alpha=-1)))


def test_model_norm_bounds_a_difference() -> None:
    torch.manual_seed(0)
    x = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    thetas = list(convert(Difference(), x, method="model-norm").thresholds.values())
    assert [float(theta) for theta in thetas] == [1.0, 0.5, 1.0]  # the last one: 1 − 0


def test_spikes_are_upsampled_by_copying(tmp_path: Path) -> None:
    torch.manual_seed(4)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2),
        nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5),
    ).eval()  # fmt: skip
    x = images(8)
    # from θ/2, so that no potential lies on its threshold, where rounding decides on some machines
    options = {"thresholds": "data-norm"}
    network = convert(model, x, method="half-shift", options=options).network
    with torch.no_grad():
        torch.testing.assert_close(network(x, 2000)[-1], model(x), atol=2e-2, rtol=0)
        whole = network.read(unroll_fixed(fixed_point(network, (3, 8, 8), 24), x, 20))
        torch.testing.assert_close(whole.float(), network(x, 20), atol=1e-3, rtol=0)
        save_plain(network, tmp_path)
        assert torch.equal(load_plain(tmp_path)(x, 20), network(x, 20))
    smooth = nn.Sequential(*model[:2], nn.Upsample(scale_factor=2, mode="bilinear"), *model[3:])
    with pytest.raises(UnsupportedNetwork, match="Upsample"):
        convert(smooth, x, method="data-norm")


def test_weights_that_are_no_numbers_are_refused_behind_the_last_activation() -> None:
    model = two_layers(False)
    with torch.no_grad():
        model[-1].weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="outputs are not finite on the calibration images"):
        convert(model, images(6), method="data-norm")


def test_loading_draws_no_random_number(tmp_path: Path) -> None:
    network = convert(two_layers(False), images(6), method="data-norm").network
    save_plain(network, tmp_path)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_plain(tmp_path)
    assert torch.equal(torch.rand(3), expected)
