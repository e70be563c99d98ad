"""Methods whose numbers several batches, layers or steps decide, each on a network by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from conversion import QuantisedReLU, convert
from conversion.convert import prepare_ann
from conversion.methods.calibration import _rounded
from conversion.methods.mse_norm import best_threshold, quantised
from conversion.methods.offset import correct, shifts
from conversion.statistics import activations
from network.neurons import Neuron
from network.recipe import learning_at
from tests.small_networks import images, network


def linear(weight: list[list[float]], bias: float = 0.0) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.fill_(bias)
    return layer


def test_spike_norm_looks_at_the_last_of_its_steps_too() -> None:
    """θ₁ = 1. Currents 1 and ¼: the second neuron fires at step 4, and the sum is 2 then."""
    model = nn.Sequential(
        linear([[1.0, 0.0], [0.0, 1.0]]), nn.ReLU(), linear([[1.0, 1.0]]), nn.ReLU(),
        linear([[1.0]]),
    )  # fmt: skip
    x = torch.tensor([[1.0, 0.25]])
    for steps, expected in ((3, [1.0, 1.0]), (4, [1.0, 2.0])):
        result = convert(model, x, method="spike-norm", options={"timesteps": steps})
        assert [theta.item() for theta in result.thresholds.values()] == expected


def test_model_norm_sends_no_more_than_a_clipped_activation_does() -> None:
    """Largest current 3·2 + 1 = 7, clipped at 6; behind it 0.5·6 − 1 = 2, where 0.5·7 − 1 = 2.5."""
    model = nn.Sequential(
        linear([[3.0]], 1.0), nn.ReLU6(), linear([[0.5]], -1.0), nn.ReLU(), linear([[1.0]])
    )
    result = convert(model, torch.tensor([[0.0], [2.0]]), method="model-norm")
    assert [theta.item() for theta in result.thresholds.values()] == [6.0, 2.0]


def test_no_more_than_t_spikes_come_in_t_steps() -> None:
    a = torch.tensor([-1.0, 0.1, 0.13, 0.6, 1.0, 5.0])
    # ⌊4·a + ½⌋ = 0, 0, 1, 2, 4, 20
    assert quantised(a, torch.tensor(1.0), 4).tolist() == [0.0, 0.0, 0.25, 0.5, 1.0, 1.0]


def test_the_best_threshold_clips_few_large_values_for_the_sake_of_the_many() -> None:
    """T = 1, 10,000 values of about 1 and one of about 4: everything at θ, or nothing."""
    counts = torch.zeros(10_000, dtype=torch.float64)
    counts[2_500], counts[9_999] = 10_000, 1
    best = best_threshold(torch.tensor(4.0), counts, 1)
    assert best.item() == pytest.approx(1.0)


def test_mse_norm_counts_the_images_of_every_batch() -> None:
    x = images(30)
    whole, parts = (
        convert(network("plain"), x, method="mse-norm", options={"timesteps": 4}, batch_size=size)
        for size in (30, 4)
    )
    for name, theta in whole.thresholds.items():
        assert torch.equal(parts.thresholds[name], theta)
    last = convert(network("plain"), x[28:], method="mse-norm", options={"timesteps": 4})
    assert any(
        not torch.equal(theta, last.thresholds[name]) for name, theta in whole.thresholds.items()
    )


def balanced(x: Tensor, **options: float) -> tuple[nn.Sequential, dict[str, Tensor], int]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)
    )
    with torch.no_grad():
        model[3].weight.abs_()  # so that its neurons are active
    result = convert(model, x, method="local-balance", options=options)
    return model, result.thresholds, result.calibration_timesteps


@torch.no_grad()
def test_local_balance_goes_from_batch_to_batch_and_clips_what_the_next_layer_sees() -> None:
    """2η = 1, from θ = 0: the mean of 100 images' currents, then that of the rest above it."""
    x = images(150)
    model, found, _ = balanced(x, iterations=2)
    first, second = torch.zeros(8), torch.zeros(4)
    for batch in (x[:100], x[100:]):
        z = model[:2](batch)
        first += (z - first).clamp(min=0).mean(0)
        y = model[3](z.clamp(min=0).minimum(first))
        second += (y - second).clamp(min=0).mean(0)
    for theta, expected in zip(found.values(), (first, second), strict=True):
        known = expected > 0
        torch.testing.assert_close(theta[known], expected[known])


@torch.no_grad()
def test_local_balance_delays_by_half_a_threshold_over_the_most_active_channel() -> None:
    """t₀ = Σ mean(θ − θ/2) / max E[ReLU(z)], rounded up; the second layer sees clipped values."""
    x = images(120)
    model, found, delay = balanced(x, iterations=60, delay=True)
    first, second = found.values()
    z = model[:2](x)
    y = model[3](z.clamp(min=0).minimum(first))
    active = [values.clamp(min=0).mean(0).max() for values in (z, y)]
    steps = sum(
        float(theta.mean() / 2 / most) for theta, most in zip((first, second), active, strict=True)
    )
    assert abs(steps - round(steps)) > 0.01
    assert delay == math.ceil(steps)


def test_offset_starts_anew_with_the_shift_and_sends_the_corrected_train() -> None:
    """θ = 1, start ½: 0, 0, 1 leaves ½, nothing to mend; 0, 0, 2 leaves 1½, one too few."""
    neuron = Neuron(theta=1.0, start=0.5)
    current = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 2.0]]).unsqueeze(1)
    spikes, state = correct(neuron, current)
    assert state.v.tolist() == [[0.5, 1.5]]
    assert spikes.squeeze(1).tolist() == [[0.0, 1.0], [0.0, 0.0], [1.0, 1.0]]


def test_offset_sees_the_current_with_the_shift_of_the_neuron() -> None:
    current = torch.randn(4, 200, 3, generator=torch.Generator().manual_seed(0))
    shift = torch.tensor([0.0, 0.3, -0.2])
    shifted = shifts(Neuron(theta=1.0, start=0.5, shift=shift), current)
    plain = shifts(Neuron(theta=1.0, start=0.5), current + shift)
    assert torch.equal(shifted, plain)
    assert not torch.equal(plain, shifts(Neuron(theta=1.0, start=0.5), current))


def test_a_twentieth_of_the_scale_follows_each_batch() -> None:
    activation = QuantisedReLU(2, 2.0, relu_share=0.5, percentile=100.0).train()
    with learning_at(1.0, 0.0):
        activation(torch.tensor([[1.0, 4.0]]))
    assert activation.threshold.item() == pytest.approx(0.95 * 2.0 + 0.05 * 4.0)


def test_what_is_fitted_is_rounded_as_a_neuron_does_it() -> None:
    """T = 4, θ = 2, start 1: ⌊4·z/2 + ½⌋ spikes of ½, 4 at most; the slope is 0 where they end."""
    z = torch.tensor([-1.0, 0.2, 0.3, 1.7, 2.0, 9.0], requires_grad=True)
    theta, start = torch.tensor(2.0), torch.tensor(1.0)
    sent = _rounded(z, theta, start, 4)
    assert sent.tolist() == [0.0, 0.0, 0.5, 1.5, 2.0, 2.0]
    assert sent.tolist() == quantised(z.detach(), theta, 4).tolist()
    sent.sum().backward()
    assert z.grad is not None
    assert z.grad[[0, 1, 3, 5]].tolist() == [0.0, 1.0, 1.0, 0.0]


def fitted(**options: float) -> Tensor:
    """How far 'advanced' moved the weights of the first layer, from one batch of images."""
    model, x = network("plain"), images(32)
    given = {"timesteps": 4, "level": "advanced", **options}
    result = convert(model, x, method="calibration", options=given)
    before, after = (
        next(p for p in body.parameters() if p.shape == (6, 3, 3, 3))
        for body in (prepare_ann(model)[0], result.network.body)
    )
    return (after - before).detach()


def test_advanced_calibration_moves_weights_by_its_rate_and_passes() -> None:
    """Adam's first step is as long as the learning rate, up or down."""
    for rate in (1e-3, 1e-2):
        moved = fitted(passes=1, learning_rate=rate).abs()
        torch.testing.assert_close(moved.max().item(), rate, rtol=1e-2, atol=0.0)
    again = fitted(passes=3, learning_rate=1e-3).abs().max()
    assert 1.5e-3 < again <= 3.1e-3


@torch.no_grad()
def test_light_calibration_takes_the_mean_over_every_batch() -> None:
    model, x = network("plain"), images(40)
    options = {"timesteps": 4}
    whole, parts = (
        convert(model, x, method="calibration", options=options, batch_size=size)
        for size in (40, 7)
    )
    name = next(iter(activations(prepare_ann(model)[0], x)))
    torch.testing.assert_close(
        parts.network.neurons()[name].shift, whole.network.neurons()[name].shift
    )
