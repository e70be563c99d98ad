"""Each method against its definition, by hand or by an independent computation."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from conversion import convert, permuted_scores, quantise_activations
from conversion.convert import prepare_ann
from conversion.methods.mse_norm import quantised
from conversion.statistics import activations
from network.neurons import Neuron
from network.unroll import unroll
from tests.small_networks import images, network
from tests.spike_trains import Trains


def test_data_norm_is_the_largest_activation() -> None:
    model, x = network("plain"), images(20)
    with torch.no_grad():
        expected = [model[:3](x).max(), model[:6](x).max(), model[:10](x).max()]
    result = convert(model, x, method="data-norm", batch_size=6)
    for theta, largest in zip(result.thresholds.values(), expected, strict=True):
        torch.testing.assert_close(theta, largest)


def test_robust_and_channel_norm_are_quantiles_of_all_activations() -> None:
    model, x = network("plain"), images(40)
    with torch.no_grad():
        first = model[:3](x)
    settings = {"method": "robust-norm", "options": {"percentile": 95.0}}
    theta = next(iter(convert(model, x, batch_size=7, **settings).thresholds.values()))
    torch.testing.assert_close(theta, torch.quantile(first.flatten(), 0.95), rtol=1e-4, atol=0)
    settings = {"method": "channel-norm", "options": {"percentile": 95.0}}
    theta = next(iter(convert(model, x, batch_size=7, **settings).thresholds.values()))
    rows = first.transpose(0, 1).flatten(1)
    torch.testing.assert_close(theta, torch.quantile(rows, 0.95, dim=1), rtol=1e-4, atol=0)


def test_half_shift_takes_the_percentile_of_the_method_behind_it() -> None:
    options = {"thresholds": "channel-norm", "percentile": 100.0}
    shifted = convert(network("plain"), images(9), method="half-shift", options=options)
    plain = convert(
        network("plain"), images(9), method="channel-norm", options={"percentile": 100.0}
    )
    for name, neuron in shifted.network.neurons().items():
        torch.testing.assert_close(neuron.theta, plain.thresholds[name])
        torch.testing.assert_close(neuron.start, neuron.theta / 2)
    options["thresholds"] = "data-norm"
    with pytest.raises(ValueError, match="no effect with thresholds = 'data-norm'"):
        convert(network("plain"), images(9), method="half-shift", options=options)


def test_model_norm_by_hand() -> None:
    """Pixels in [−1, 2]; weights (3, −4), bias 1: largest current 3·2 + (−4)·(−1) + 1 = 11.

    Second layer, weights (0.5), bias −1: inputs in [0, 11], so 0.5·11 − 1 = 4.5.
    """
    model = nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3.0, -4.0]]))
        model[0].bias.fill_(1.0)
        model[2].weight.fill_(0.5)
        model[2].bias.fill_(-1.0)
    x = torch.tensor([[-1.0, 2.0], [0.0, 1.0]])
    result = convert(model, x, method="model-norm")
    assert [theta.item() for theta in result.thresholds.values()] == [11.0, 4.5]


@pytest.mark.parametrize(("encoding", "theta"), [("poisson", 4.0), ("poisson-signed", 8.0)])
def test_model_norm_bounds_spikes_and_not_the_pixels_behind_them(
    encoding: str, theta: float
) -> None:
    """Weights (3, −4), bias 1, pixels of ½: a spike is 1 or −1 all the same: 3·1 + 1, and + 4."""
    model = nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3.0, -4.0]]))
        model[0].bias.fill_(1.0)
    x = torch.full((4, 2), 0.5)
    result = convert(model, x, method="model-norm", encoding=encoding)
    assert [theta.item() for theta in result.thresholds.values()] == [theta]


class Inverted(nn.Module):
    """Pixels turned round before the first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.act, self.head = nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.layer((0.5 - x) * 4)))


def test_model_norm_follows_a_range_that_turns_round() -> None:
    """Pixels in [0, 1] become [−2, 2]; weight 3, bias 1: largest current 7."""
    model = Inverted()
    with torch.no_grad():
        model.layer.weight.fill_(3.0)
        model.layer.bias.fill_(1.0)
    result = convert(model, torch.tensor([[0.0], [1.0]]), method="model-norm")
    assert result.thresholds["act"].item() == 7.0


def test_half_shift_keeps_the_notes_and_says_what_it_leaves_out() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 2))
    with torch.no_grad():
        model[0].weight.abs_()  # pixels are positive: every channel but the first is active
        model[0].bias.zero_()
        model[0].weight[0], model[0].bias[0] = 0.0, -1.0
    options = {"thresholds": "channel-norm"}
    notes = convert(model, images(9), method="half-shift", options=options).audit.notes
    assert any("1 of" in note and "channels were silent" in note for note in notes)
    options = {"thresholds": "calibration"}
    notes = convert(network("plain"), images(9), method="half-shift", options=options).audit.notes
    assert "of calibration the thresholds alone, without its corrections" in notes


@pytest.mark.parametrize("method", ["rmp", "offset"])
def test_methods_of_the_soft_reset_refuse_the_hard_one(method: str) -> None:
    model = network("plain")
    if method == "offset":
        model = quantise_activations(model, 4)
    with pytest.raises(ValueError, match=f"{method} needs the soft reset, got 'hard'"):
        convert(model, images(4), method=method, reset="hard")


@pytest.mark.parametrize("name", ["plain", "residual", "branches", "max-pooled"])
def test_no_current_exceeds_the_thresholds_of_model_norm(name: str) -> None:
    x = images(6)
    result = convert(network(name), x, method="model-norm")
    trains = Trains()
    with torch.no_grad():
        unroll(result.network, x, 8, taps=[trains])
    if name == "max-pooled":
        return  # the difference of two maxima may exceed the largest current of one step
    for layer, currents in trains.currents.items():
        if not layer.startswith(("clamp", "relu6")):
            assert torch.cat(currents).max() <= result.thresholds[layer] * (1 + 1e-6)


def test_spike_norm_is_the_largest_current_of_the_spiking_network() -> None:
    """The finished network, run as long, receives exactly these currents."""
    x = images(12)
    result = convert(
        network("residual"), x, method="spike-norm", options={"timesteps": 9}, batch_size=5
    )
    trains = Trains()
    with torch.no_grad():
        unroll(result.network, x, 9, taps=[trains])
    for layer, currents in trains.currents.items():
        torch.testing.assert_close(torch.cat(currents).max(), result.thresholds[layer])


def test_rmp_scales_the_thresholds_of_spike_norm() -> None:
    x = images(6)
    settings = {"timesteps": 5}
    whole = convert(network("plain"), x, method="spike-norm", options=settings)
    less = convert(network("plain"), x, method="rmp", options={**settings, "scale": 0.5})
    for layer, theta in whole.thresholds.items():
        torch.testing.assert_close(less.thresholds[layer], theta * 0.5)


@settings(max_examples=100, deadline=None)
@given(
    a=st.floats(-0.5, 1.5),
    theta=st.floats(0.1, 3.0),
    timesteps=st.integers(1, 40),
    half=st.booleans(),
)
def test_a_neuron_with_even_current_is_the_quantiser(
    a: float, theta: float, timesteps: int, half: bool
) -> None:
    """Spikes = clip(⌊(v₀ + T·a)/θ⌋, 0, T), away from exact thresholds."""
    a *= theta
    start = theta / 2 if half else 0.0
    exact = (start + timesteps * a) / theta
    near = abs(exact - round(exact)) < 1e-3 and 0 < exact < timesteps + 1
    if near:
        return
    neuron = Neuron(theta=theta, start=start)
    spikes, _ = neuron.advance(torch.full((timesteps, 1, 1), a), None)
    expected = min(max(int(exact // 1), 0), timesteps)
    if a <= theta and a >= 0:
        assert spikes.sum().item() == expected


def test_mse_norm_is_the_best_threshold_of_the_grid() -> None:
    """Against a brute-force search over the activations themselves."""
    model, x = network("plain"), images(30)
    result = convert(model, x, method="mse-norm", options={"timesteps": 4})
    body, _, _ = prepare_ann(model)
    for name, values in activations(body, x).items():
        largest = values.max().double()
        grid = [largest * share / 100 for share in range(1, 101)]
        errors = [
            float((quantised(values.double(), theta, 4) - values).square().sum()) for theta in grid
        ]
        chosen = float((quantised(values.double(), result.thresholds[name].double(), 4) - values)
                       .square().sum())  # fmt: skip
        assert chosen <= min(errors) * 1.01
        assert result.network.neurons()[name].start == result.thresholds[name] / 2


@pytest.mark.parametrize("level", ["light", "advanced"])
def test_calibration_brings_the_layers_closer_to_the_ann(level: str) -> None:
    model, x = network("plain"), images(64)
    body, _, _ = prepare_ann(model)
    target = activations(body, x)
    errors = {}
    for method in ("mse-norm", "calibration"):
        options = {"timesteps": 4}
        if method == "calibration":
            rate = {"learning_rate": 1e-3} if level == "advanced" else {}
            options |= {"level": level, **rate}
        result = convert(model, x, method=method, options=options)
        trains = Trains()
        with torch.no_grad():
            unroll(result.network, x, 4, taps=[trains])
        errors[method] = {
            name: torch.cat(spikes).mean(0) - target[name] for name, spikes in trains.spikes.items()
        }
    last = list(target)[-1]
    first = next(iter(target))
    for name in (first, last):
        before = errors["mse-norm"][name].transpose(0, 1).flatten(1).mean(1).norm()
        after = errors["calibration"][name].transpose(0, 1).flatten(1).mean(1).norm()
        assert after < before


def test_light_calibration_shifts_by_the_mean_error_of_each_channel() -> None:
    model, x = network("plain"), images(32)
    plain = convert(model, x, method="mse-norm", options={"timesteps": 4})
    corrected = convert(model, x, method="calibration", options={"timesteps": 4})
    body, _, _ = prepare_ann(model)
    name, target = next(iter(activations(body, x).items()))
    trains = Trains()
    with torch.no_grad():
        unroll(plain.network, x, 4, taps=[trains])
    error = (target - torch.cat(trains.spikes[name]).mean(0)).mean((0, 2, 3))
    torch.testing.assert_close(corrected.network.neurons()[name].shift, error)


def test_local_balance_rises_to_what_few_currents_exceed() -> None:
    """θ after one batch from 0 is 2η · mean(max(z, 0)), per channel, with η = ½."""
    model, x = network("plain"), images(50)
    body, _, _ = prepare_ann(model)
    name, a = next(iter(activations(body, x).items()))
    once = convert(model, x, method="local-balance", options={"iterations": 1})
    torch.testing.assert_close(once.thresholds[name], a.mean((0, 2, 3)))
    many = convert(model, x, method="local-balance", options={"iterations": 200})
    share_above = (a > many.thresholds[name].view(1, -1, 1, 1)).float().mean()
    assert (many.thresholds[name] > 2 * once.thresholds[name]).all()
    assert share_above < 0.02


def test_permuting_a_layer_in_time_keeps_its_rates() -> None:
    """A linear readout behind the permuted layer sees the same sum over all steps."""
    x = images(6)
    result = convert(network("plain"), x, method="half-shift")
    last = list(result.thresholds)[-1]
    with torch.no_grad():
        plain = result.network(x, 12)
    permuted = permuted_scores(
        result.network, x, last, 12, generator=torch.Generator().manual_seed(0)
    )
    torch.testing.assert_close(permuted[-1], plain[-1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(permuted[3], plain[3])
    with pytest.raises(ValueError, match="layer must be one of"):
        permuted_scores(result.network, x, "nothing", 3, generator=torch.Generator())


def test_a_method_that_observes_names_what_it_is_without() -> None:
    from conversion import CONVERSIONS

    quantised_ann = quantise_activations(network("plain"), 4).eval()
    for name in CONVERSIONS:
        method = CONVERSIONS.get(name)
        model = quantised_ann if method.ann == "qcfs" else network("plain")
        result = convert(model, images(20), method=name)
        assert (result.network.observation is not None) == (method.plain is not None), name
        assert method.plain is None or CONVERSIONS.get(method.plain).plain is None


def test_every_method_has_a_summary_and_a_source() -> None:
    from conversion import CONVERSIONS

    for name in CONVERSIONS:
        method = CONVERSIONS.get(name)
        assert method.summary
        assert any(char.isdigit() for char in method.source)
        assert method.calibration_images >= 1
        assert method.function.__doc__
    assert set(itertools.islice(CONVERSIONS, 3)) == {"data-norm", "model-norm", "robust-norm"}
