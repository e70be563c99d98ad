"""Methods that start from an ANN with quantised activations: qcfs, srp, offset."""

import pytest
import torch

from conversion import QuantisedReLU, convert, quantise_activations
from conversion.convert import prepare_ann
from conversion.methods.offset import shifts
from conversion.methods.srp import mask
from conversion.statistics import activations
from network.neurons import Neuron
from network.recipe import learning_at
from network.unroll import unroll
from tests.small_networks import images, network
from tests.spike_trains import Trains


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
    """QCFS at T = L equals the quantised ANN in the first layer, in whole numbers of spikes."""
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


def test_a_training_may_begin_with_relus() -> None:
    """Before its share is done a ReLU, whose λ follows the percentile; then, and outside, steps."""
    activation = QuantisedReLU(2, 2.0, relu_share=0.5, percentile=90.0).train()
    z = torch.arange(-50.0, 51.0).view(1, 101) / 10
    with learning_at(1.0, 0.49):
        for _ in range(200):
            assert torch.equal(activation(z), z.clamp(min=0))
        assert activation.threshold.item() == pytest.approx(4.0, abs=1e-3)  # 91st of 101 values
        activation.eval()
        assert torch.equal(activation(z + 9), (z + 9).clamp(min=0))
        assert activation.threshold.item() == pytest.approx(4.0, abs=1e-3), "eval moves nothing"
    for progress in (0.5, 1.0):
        with learning_at(1.0, progress):
            assert len(activation(z).unique()) == 3
    assert len(activation(z).unique()) == 3


def test_the_scale_has_a_gradient_of_zero_while_it_is_a_relu() -> None:
    activation = QuantisedReLU(2, 2.0, relu_share=0.5).train()
    z = torch.tensor([[-1.0, 3.0]], requires_grad=True)
    with learning_at(1.0, 0.0):
        activation(z).sum().backward()
    assert torch.equal(z.grad, torch.tensor([[0.0, 1.0]]))
    assert activation.threshold.grad == 0


def test_silent_activations_leave_the_scale_as_it_is() -> None:
    activation = QuantisedReLU(2, 1.5, relu_share=0.5).train()
    with learning_at(1.0, 0.0):
        activation(-torch.ones(2, 8))
    assert activation.threshold.item() == 1.5


def test_gradients_of_steps_are_those_of_clip_and_floor_apart() -> None:
    """Bu 2022, eq. 15, written with clamp, and with a floor that hands its gradient on."""
    z = 2 * torch.randn(500, generator=torch.Generator().manual_seed(4))
    weights = torch.randn(500, generator=torch.Generator().manual_seed(5))
    activation = QuantisedReLU(3, 1.37)
    threshold = torch.tensor(1.37, requires_grad=True)
    x, y = z.clone().requires_grad_(), z.clone().requires_grad_()
    share = (x / threshold).clamp(0, 1) * 3 + 0.5
    expected = threshold * (share + (share.floor() - share).detach()) / 3
    found = activation(y)
    torch.testing.assert_close(found, expected)
    (expected * weights).sum().backward()
    (found * weights).sum().backward()
    torch.testing.assert_close(y.grad, x.grad)
    torch.testing.assert_close(activation.threshold.grad, threshold.grad)


def test_delayed_qcfs_is_the_end_of_a_longer_run() -> None:
    """Its answer leaves out the first steps' output, and nothing else."""
    model = quantise_activations(network("plain"), 2).eval()
    x = images(8)
    plain = convert(model, x[:1], method="qcfs")
    late = convert(model, x[:1], method="qcfs", options={"delay": 2})
    assert (plain.calibration_timesteps, late.calibration_timesteps) == (0, 2)
    with torch.no_grad():
        whole = unroll(plain.network, x, 7)
        torch.testing.assert_close(unroll(late.network, x, 5), whole[2:])
    assert whole[:2].abs().sum() > 0


def test_corrected_qcfs_sends_on_average_what_the_ann_does() -> None:
    """Per channel, over the images that it was corrected on."""
    model = quantise_activations(network("plain"), 2).eval()
    x, steps = images(32), 3
    body, _, _ = prepare_ann(model)
    target = {n: z.transpose(0, 1).flatten(1).mean(1) for n, z in activations(body, x).items()}
    error = {}
    for correction in (0, steps):
        result = convert(model, x, method="qcfs", options={"correction": correction})
        trains = Trains()
        with torch.no_grad():
            unroll(result.network, x, steps, taps=[trains])
        sent = {n: torch.cat(s).transpose(1, 2).flatten(2) for n, s in trains.spikes.items()}
        error[correction] = sum(
            float((sent[n].mean((0, 2)) - t).abs().mean()) for n, t in target.items()
        )
        shifted = [bool(n.shift.abs().sum() > 0) for n in result.network.neurons().values()]
        assert shifted == [bool(correction)] * len(target)
    assert error[steps] < 0.7 * error[0]


@pytest.mark.parametrize("option", ["delay", "correction"])
def test_options_of_qcfs_below_zero_are_refused(option: str) -> None:
    model = quantise_activations(network("plain"), 2).eval()
    with pytest.raises(ValueError, match=f"qcfs: {option} must be at least 0, got -1"):
        convert(model, images(1), method="qcfs", options={option: -1})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"levels": 0}, "levels must be at least 1, got 0"),
        ({"start": 0.0}, "start must be above 0, got 0.0"),
        ({"relu_share": 1.0}, "relu_share must be at least 0 and below 1, got 1.0"),
        ({"percentile": 0.0}, "percentile must be above 0 and at most 100, got 0.0"),
        ({"noise": 1.5}, "noise must be at least 0 and at most 1, got 1.5"),
        ({"scale_rate": -1.0}, "scale_rate must be at least 0, got -1.0"),
    ],
)
def test_what_quantisation_does_not_take_is_one_line(given: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        quantise_activations(network("plain"), **given)
