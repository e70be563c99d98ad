"""Each method against its definition, by hand or by an independent computation."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from conversion import QuantisedReLU, convert, quantise_activations
from conversion.convert import prepare_ann
from conversion.methods.mse_norm import quantised
from conversion.methods.offset import shifts
from conversion.methods.srp import mask
from conversion.probe import permuted_scores
from conversion.statistics import activations
from network.neurons import Neuron
from network.unroll import unroll
from tests.small_networks import images, network


def one_layer(theta: float, weight: float = 1.0) -> nn.Sequential:
    """One ReLU neuron per pixel and a readout that copies it."""
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
    with torch.no_grad():
        for layer in (model[0], model[2]):
            layer.weight.fill_(weight)
            layer.bias.zero_()
    return model


class Trains:
    """A tap that keeps all spikes and currents by layer."""

    def __init__(self) -> None:
        self.spikes: dict[str, list[Tensor]] = {}
        self.currents: dict[str, list[Tensor]] = {}

    def inputs(self, first: int, inputs: Tensor) -> None: ...

    def neurons(self, name, first, current, spikes, state) -> None:
        self.spikes.setdefault(name, []).append(spikes.clone())
        self.currents.setdefault(name, []).append(current.clone())


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
    with pytest.raises(ValueError, match="data-norm has no option 'percentile'"):
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
    """METHODS.md section 1: spikes = clip(⌊(v₀ + T·a)/θ⌋, 0, T), away from exact thresholds."""
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
            options |= {"level": level, "learning_rate": 1e-3}
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


def test_quantised_relu_by_hand() -> None:
    """L = 4, λ = 2, steps of 0.5: 0.2 → ⌊0.9⌋ = 0; 0.3 → ⌊1.1⌋ = 1; 1.3 → ⌊3.1⌋ = 3; 9 → 4."""
    activation = QuantisedReLU(4, 2.0)
    z = torch.tensor([-1.0, 0.2, 0.3, 1.3, 9.0])
    torch.testing.assert_close(activation(z), torch.tensor([0.0, 0.0, 0.5, 1.5, 2.0]))


def test_the_gradient_of_quantised_relu_passes_the_floor() -> None:
    """da/dz is 1 inside (0, λ) and 0 outside; above λ the scale's gradient is 1 (a = λ)."""
    activation = QuantisedReLU(4, 2.0)
    z = torch.tensor([-1.0, 0.3, 1.3, 9.0], requires_grad=True)
    activation(z).sum().backward()
    torch.testing.assert_close(z.grad, torch.tensor([0.0, 1.0, 1.0, 0.0]))
    # da/dλ = steps/L − z/λ inside: 1/4 − 0.15 = 0.1 and 3/4 − 0.65 = 0.1; 1 above λ; 0 below 0
    assert activation.threshold.grad.item() == pytest.approx(0.1 + 0.1 + 1.0, abs=1e-6)


def test_quantise_activations_keeps_the_network_and_trains_its_scales() -> None:
    model = network("branches")
    quantised_model = quantise_activations(model, 8)
    scales = [n for n, _ in quantised_model.named_parameters() if n.endswith("threshold")]
    assert len(scales) == 3
    assert not any(isinstance(m, QuantisedReLU) for m in model.modules())
    quantised_model(images(4)).sum().backward()
    for name, parameter in quantised_model.named_parameters():
        assert parameter.grad is not None, name


@pytest.mark.parametrize("name", ["plain", "residual", "branches", "max-pooled"])
def test_qcfs_at_t_equal_l_is_the_quantised_ann_in_the_first_layer(name: str) -> None:
    """Oracle 2 of METHODS.md, in whole numbers of spikes."""
    levels = 4
    model = quantise_activations(network(name), levels).eval()
    for parameter_name, parameter in model.named_parameters():
        if parameter_name.endswith("threshold"):
            parameter.data.fill_(1.37)
    x = images(16)
    result = convert(model, x[:1], method="qcfs")
    body, _, _ = prepare_ann(model)
    target = activations(body, x)
    trains = Trains()
    with torch.no_grad():
        unroll(result.network, x, levels, taps=[trains])
    first = next(iter(target))
    spikes = (torch.cat(trains.spikes[first]) > 0).sum(0)
    assert torch.equal(spikes, (target[first] * levels / 1.37).round().long())
    assert 0 < spikes.float().mean() < levels


def test_qcfs_approaches_its_ann_as_t_grows() -> None:
    """With many levels, since the spiking network approaches the ANN without rounding."""
    model = quantise_activations(network("plain"), 256).eval()
    x = images(40)
    result = convert(model, x[:1], method="qcfs")
    with torch.no_grad():
        answer, scores = model(x), result.network(x, 128)
    assert (scores[-1] - answer).norm() < 0.1 * answer.norm()
    assert (scores[-1] - answer).norm() < 0.2 * (scores[0] - answer).norm()


def test_srp_masks_neurons_that_ended_without_a_remainder() -> None:
    """θ = 1, start ½, three steps.

    (1, −1, −0.2): fires at once (1.5), 0.5, then −0.5 and −0.7: masked.
    (0.1, 0.1, 0.1): silent, 0.8 left: kept. (−0.5, 0, 0): 0 left: masked.
    """
    neuron = Neuron(theta=1.0, start=0.5, height="threshold")
    current = torch.tensor([[1.0, 0.1, -0.5], [-1.0, 0.1, 0.0], [-0.2, 0.1, 0.0]]).unsqueeze(1)
    spikes, state = mask(neuron, current)
    assert spikes.sum(0).tolist() == [[1.0, 0.0, 0.0]]
    assert state.mask is not None
    assert state.mask.tolist() == [[0.0, 1.0, 0.0]]
    assert state.v.tolist() == [[0.5, 0.5, 0.5]]


def test_srp_lets_masked_neurons_be_silent() -> None:
    model = quantise_activations(network("plain"), 4).eval()
    x = images(6)
    result = convert(model, x, method="srp", options={"steps": 3})
    trains = Trains()
    with torch.no_grad():
        unroll(result.network, x, 5, taps=[trains])
    name = next(iter(trains.spikes))
    neuron = result.network.neurons()[name]
    current = torch.cat(trains.currents[name])[:3]
    _, state = mask(neuron, current)
    assert state.mask is not None
    assert (torch.cat(trains.spikes[name]).sum(0)[state.mask == 0] == 0).all()


def test_offset_by_hand() -> None:
    """θ = 2 (values below in units of θ), start ½, three steps.

    A (1, −1, −0.2): fires at v⁻ = 1.5, ends at −0.7. m − 0.999 = 0.501 < 1: shift −1.
    B (3, −3.5, 0): v⁻ = 3.5 fires, 2.5; −1.0; −1.0 ends below 0. m − 0.999 = 2.501: shift −2.501.
    C (0, 0, 2): 0.5, 0.5 silent, 2.5 fires, ends 1.5 ≥ 1. m = 0.5: 1.001 − 0.5 < 1: shift +1.
    D (−1, 1, 1.8): −0.5, 0.5 silent, 2.3 fires, ends 1.3. m = 0.5: shift +1.
    E (0.4, 0.2, 0.2): 0.9, 1.1 fires → 0.1, 0.3: nothing to mend.
    F (−2, 0, 4): −1.5, −1.5 silent, 2.5 fires, ends 1.5. m = −1.5: shift 1.001 + 1.5 = 2.501.
    """
    neuron = Neuron(theta=2.0, start=1.0, height="threshold")
    units = torch.tensor(
        [
            [1.0, 3.0, 0.0, -1.0, 0.4, -2.0],
            [-1.0, -3.5, 0.0, 1.0, 0.2, 0.0],
            [-0.2, 0.0, 2.0, 1.8, 0.2, 4.0],
        ]
    )
    shift = shifts(neuron, 2.0 * units.unsqueeze(1)) / 2.0
    expected = torch.tensor([[-1.0, -2.501, 1.0, 1.0, 0.0, 2.501]])
    torch.testing.assert_close(shift, expected)


def test_offset_mends_the_trial_run_by_one_spike() -> None:
    """A neuron that ends at or above θ and has a silent step fires once more after the shift."""
    generator = torch.Generator().manual_seed(0)
    neuron = Neuron(theta=1.0, start=0.5)
    current = torch.randn(4, 2000, 1, generator=generator)
    before, state = neuron.advance(current, None)
    shift = shifts(neuron, current)
    again = Neuron(theta=1.0, start=0.5)
    after, _ = again.advance(current, state._replace(v=0.5 + shift))
    difference = (after - before).sum(0)
    assert (difference[shift > 0] >= 1).all()
    assert (difference[shift < 0] <= -1).all()
    assert (difference[shift == 0] == 0).all()
    assert int((shift > 0).sum()) > 20
    assert int((shift < 0).sum()) > 20


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


def test_every_method_has_a_summary_and_a_source() -> None:
    from conversion import CONVERSIONS

    for name in CONVERSIONS:
        method = CONVERSIONS.get(name)
        assert method.summary
        assert any(char.isdigit() for char in method.source)
        assert method.calibration_images >= 1
        assert method.function.__doc__
    assert set(itertools.islice(CONVERSIONS, 3)) == {"data-norm", "model-norm", "robust-norm"}
