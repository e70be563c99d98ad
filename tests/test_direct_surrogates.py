"""Surrogates: slopes by hand, slope = derivative of the curve, widths; losses by hand."""

import math

import pytest
import torch

from direct.losses import LOSSES, loss_of
from direct.surrogates import SURROGATES, Surrogate, surrogate
from network.unroll import unroll
from tests.direct_networks import Toy, prepared

NAMES = SURROGATES.names()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [0.3, 1.0, 4.0])
def test_slope_is_the_derivative_of_the_curve(name: str, width: float) -> None:
    shape = surrogate(name, width)
    # an odd number of points off the kinks of triangle and rectangle
    x = torch.linspace(-3.03, 3.03, 401, dtype=torch.float64)
    away = ((x.abs() - width / 2).abs() > 1e-3) & ((x.abs() - width).abs() > 1e-3)
    x = x[away & (x.abs() > 1e-3)]
    h = 1e-6
    numerical = (shape.curve(x + h) - shape.curve(x - h)) / (2 * h)
    torch.testing.assert_close(shape.slope(x), numerical, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_width_is_area_over_peak(name: str) -> None:
    shape = surrogate(name, 0.7)
    assert shape.width == pytest.approx(0.7)
    far = torch.tensor([-1e7, 1e7], dtype=torch.float64)
    low, high = shape.curve(far).tolist()
    peak = shape.slope(torch.zeros(1, dtype=torch.float64)).item()
    assert (high - low) / peak == pytest.approx(0.7, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_slope_is_even_highest_at_the_threshold_and_called_directly(name: str) -> None:
    shape: Surrogate = SURROGATES.get(name)()
    x = torch.linspace(0, 3, 50)
    assert torch.equal(shape(x), shape.slope(x))
    torch.testing.assert_close(shape(x), shape(-x))
    assert (shape(x).diff() <= 0).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fast-sigmoid", 1 / (1 + 2 * 0.5) ** 2),  # β/(1 + γ|x|)², γ = 2
        ("triangle", 1 - 0.5),  # β(1 − γ|x|), γ = 1
        ("exponential", math.exp(-1.0)),  # β·exp(−γ|x|), γ = 2
        ("rectangle", 0.0),  # |x| = a/2: outside
        ("arctan", 1 / (1 + (math.pi / 2) ** 2)),  # (α/2)/(1 + (π/2·αx)²), α = 2
    ],
)
def test_slopes_by_hand_at_one_half(name: str, expected: float) -> None:
    shape: Surrogate = SURROGATES.get(name)()
    assert shape(torch.tensor([0.5])).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", NAMES)
def test_surrogates_are_values(name: str) -> None:
    assert surrogate(name, 0.5) == surrogate(name, 0.5)
    assert surrogate(name, 0.5) != surrogate(name, 0.6)


def test_widths_must_be_positive() -> None:
    with pytest.raises(ValueError, match="must be positive and finite, got 0"):
        surrogate("arctan", 0.0)


OUTPUTS = torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]]])  # [T = 2, B = 1, K = 2]
SCORES = torch.tensor([[1.0, 0.0]])  # their mean
LABELS = torch.tensor([1])


def test_cross_entropy_by_hand() -> None:
    # −log softmax(1, 0)₁ = log(1 + e)
    assert LOSSES.get("cross-entropy")(OUTPUTS, SCORES, LABELS).item() == pytest.approx(
        math.log(1 + math.e)
    )


def test_mse_by_hand() -> None:
    # ½((1 − 0)² + (0 − 1)²) = 1
    assert LOSSES.get("mse")(OUTPUTS, SCORES, LABELS).item() == pytest.approx(1.0)


def test_tet_by_hand() -> None:
    # CE of the steps: log(1 + e²) and log 2; MSE to 1: (1 + 1 + 1 + 1)/4 = 1
    expected = 0.95 * (math.log(1 + math.e**2) + math.log(2)) / 2 + 0.05 * 1.0
    assert LOSSES.get("tet")(OUTPUTS, SCORES, LABELS).item() == pytest.approx(expected)
    # MSE to θ = ½: (2.25 + 0.25 + 0.25 + 0.25)/4 = 0.75
    expected += 0.05 * (0.75 - 1.0)
    assert loss_of("tet", 0.5)(OUTPUTS, SCORES, LABELS).item() == pytest.approx(expected)
    assert loss_of("mse", 0.5) is LOSSES.get("mse")


@pytest.mark.parametrize("threshold", [1.0, 0.5])
def test_outputs_are_pulled_to_the_threshold_of_the_rule(threshold: float) -> None:
    toy, trainable = Toy(8), prepared("tet", 3, options={"threshold": threshold})
    network = trainable.network.train()
    loss = trainable.objective(toy.images, toy.labels, torch.arange(8)).loss
    outputs = unroll(network, toy.images, 3)
    expected = loss_of("tet", threshold)(outputs, outputs[-1], toy.labels)
    assert loss.item() == pytest.approx(expected.item())


def test_every_step_of_tet_answers_for_the_label_of_its_own_image() -> None:
    # both images are right by 2 at both steps: log(1 + e⁻²) each; MSE to 1: (1 + 1)/2
    outputs = torch.tensor([[[2.0, 0.0], [0.0, 2.0]]] * 2)
    found = LOSSES.get("tet")(outputs, outputs.mean(0), torch.tensor([0, 1])).item()
    assert found == pytest.approx(0.95 * math.log(1 + math.exp(-2)) + 0.05 * 1.0)
