"""The error split: by hand, and in what it says about thresholds and steps."""

import pytest
import torch

from conversion import CONVERSIONS, convert, quantise_activations
from conversion.convert import prepare_ann
from conversion.errors import error_split, split
from conversion.rates import mean_outputs
from conversion.statistics import activations
from network.encodings import image_keys
from network.graph import UnsupportedNetwork
from network.neurons import Neuron
from tests.small_networks import images, network


def test_the_three_parts_by_hand() -> None:
    """θ = 1, v₀ = 0, T = 4; the layer put out o = 0.5 everywhere.

    a = 1.6: clipped at 1, −0.6; an even current of 1.6 fires every step, q = 1: 0; o − q = −0.5.
    a = 0.6: not clipped; 4·0.6 = 2.4, q = 2/4: −0.1; o − q = 0.
    a = 0.2: not clipped; 4·0.2 = 0.8, q = 0: −0.2; o − q = 0.5.
    """
    neuron = Neuron(theta=1.0, height="threshold")
    target = torch.tensor([[1.6, 0.6, 0.2]])
    clipping, quantisation, unevenness = split(neuron, torch.full((1, 3), 0.5), target, target, 4)
    torch.testing.assert_close(clipping, torch.tensor([[-0.6, 0.0, 0.0]]))
    torch.testing.assert_close(quantisation, torch.tensor([[0.0, -0.1, -0.2]]))
    torch.testing.assert_close(unevenness, torch.tensor([[-0.5, 0.0, 0.5]]))


@pytest.mark.parametrize("name", ["plain", "residual", "branches", "max-pooled"])
def test_the_parts_add_up_to_the_whole_error(name: str) -> None:
    model, x = network(name), images(10)
    body, _, _ = prepare_ann(model)
    result = convert(model, x, method="half-shift")
    rows = error_split(body, result.network, x, (8, 2))
    assert [row.timestep for row in rows] == [2] * len(result.thresholds) + [8] * len(
        result.thresholds
    )
    assert [row.layer for row in rows[: len(result.thresholds)]] == list(result.thresholds)
    outputs = mean_outputs(result.network, x, image_keys(0, torch.arange(10)), 8)
    targets = activations(body, x)
    for row in rows[len(result.thresholds) :]:
        error = (outputs[row.layer] - targets[row.layer]).norm() / targets[row.layer].norm()
        assert row.total == pytest.approx(error.item(), rel=1e-4)
        assert row.total <= row.clipping + row.quantisation + row.unevenness + 1e-6


def test_the_first_layer_of_a_constant_input_has_no_unevenness() -> None:
    """Its current is even; what remains is clipping and rounding."""
    model, x = network("plain"), images(10)
    body, _, _ = prepare_ann(model)
    result = convert(model, x, method="data-norm")
    row = error_split(body, result.network, x, [16])[0]
    assert row.clipping == 0.0  # θ is the largest activation of these very images
    assert row.unevenness < 0.01  # a spike more or less where a sum falls on θ exactly
    assert row.quantisation == pytest.approx(row.total, rel=0.05)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("qcfs", {}),
        ("qcfs", {"delay": 3}),
        ("offset", {}),
        ("local-balance", {"delay": True}),
        ("half-shift", {}),
    ],
)
def test_nor_has_it_of_quantised_activations_or_behind_a_delay(
    method: str, options: dict[str, object]
) -> None:
    """The neuron gets the current in front of the rounding: what it rounds is quantisation."""
    model, x = network("plain"), images(40)
    if CONVERSIONS.get(method).ann == "qcfs":
        model = quantise_activations(model, 4, start=0.7).eval()
    body, _, _ = prepare_ann(model)
    result = convert(model, x, method=method, options=options)
    for row in error_split(body, result.network, x, [1, 4, 16]):
        if row.index == 0:
            assert row.unevenness < 0.02, row  # a sum that falls on θ exactly
            assert row.clipping <= row.total < row.clipping + row.quantisation + 0.02


def test_the_quantisation_of_qcfs_is_by_the_quantiser() -> None:
    """r = θ/T·clip(⌊T·z/θ + ½⌋, 0, T) − a of the first layer; 0 at T = L."""
    model, x = quantise_activations(network("plain"), 4, start=0.7).eval(), images(40)
    body, _, _ = prepare_ann(model)
    result = convert(model, x, method="qcfs")
    with torch.no_grad():
        z, theta = network("plain")[:2](x), 0.7
    a = theta / 4 * (4 * z / theta + 0.5).floor().clamp(0, 4)
    for row in error_split(body, result.network, x, [1, 4, 16]):
        steps = row.timestep
        q = theta / steps * (steps * z / theta + 0.5).floor().clamp(0, steps)
        if row.index == 0:
            expected = float((q - a).norm() / a.norm())
            assert row.quantisation == pytest.approx(expected, abs=0.01)


def test_low_thresholds_show_as_clipping_and_high_ones_as_quantisation() -> None:
    model, x = network("plain"), images(20)
    body, _, _ = prepare_ann(model)
    low = convert(model, x, method="robust-norm", options={"percentile": 80.0})
    high = convert(model, x, method="model-norm")
    for a, b in zip(
        error_split(body, low.network, x, [8]), error_split(body, high.network, x, [8]), strict=True
    ):
        assert a.clipping > 0.2
        assert b.clipping == 0.0
        assert b.quantisation > a.quantisation


def test_other_layers_are_refused() -> None:
    body, _, _ = prepare_ann(network("residual"))
    other = convert(network("plain"), images(4), method="data-norm")
    with pytest.raises(UnsupportedNetwork, match="must have the same layers"):
        error_split(body, other.network, images(2), [2])


def test_a_silent_layer_has_no_relative_error() -> None:
    model, x = network("plain"), images(4)
    result = convert(model, x, method="data-norm")
    with torch.no_grad():
        model[4].bias.fill_(-100.0)
    body, _, _ = prepare_ann(model)
    with pytest.raises(ValueError, match="is silent on all 4 images"):
        error_split(body, result.network, x, [2])
