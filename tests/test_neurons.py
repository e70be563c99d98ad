"""Neurons: their oracles, and the fast forms against the plain one."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from direct.surrogates import FastSigmoid
from network.neurons import (
    NEURONS,
    Dynamics,
    Neuron,
    advance,
    advance_by_steps,
    per_channel,
    step,
)

DYNAMICS = [Dynamics(decay, reset) for decay in (1.0, 0.9, 0.25) for reset in ("soft", "hard")]


def currents(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.7 + 0.2


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, width=32)


def test_soft_reset_by_hand() -> None:
    spikes, v = advance_by_steps(
        torch.tensor([[0.6], [0.6], [0.6], [0.6]]), torch.zeros(1), torch.tensor(1.0)
    )
    # v⁻: 0.6, 1.2 → 0.2, 0.8, 1.4 → 0.4
    assert spikes.flatten().tolist() == [0, 1, 0, 1]
    assert v.item() == pytest.approx(0.4, abs=1e-6)


def test_hard_reset_with_leak_by_hand() -> None:
    spikes, v = advance_by_steps(
        torch.tensor([[0.8], [0.8], [0.8]]),
        torch.zeros(1),
        torch.tensor(1.0),
        decay=0.5,
        reset="hard",
    )
    # v⁻: 0.8; 0.4 + 0.8 = 1.2 → 0; 0.8
    assert spikes.flatten().tolist() == [0, 1, 0]
    assert v.item() == pytest.approx(0.8)


def test_a_potential_exactly_at_the_threshold_spikes() -> None:
    spikes, v = step(torch.tensor([1.0]), torch.zeros(1), torch.tensor(1.0))
    assert (spikes.item(), v.item()) == (1.0, 0.0)


@settings(max_examples=200, deadline=None)
@given(
    sixteenths=st.integers(0, 16),
    start=st.integers(0, 15),
    steps=st.integers(1, 40),
)
def test_constant_current_gives_the_closed_form(sixteenths: int, start: int, steps: int) -> None:
    theta, a, v0 = 1.0, sixteenths / 16, start / 16  # exact in float32
    neuron = Neuron(Dynamics(), theta=theta, start=v0)
    spikes, _ = neuron.advance(torch.full((steps, 1, 1), a), None)
    # clip(⌊(v₀ + T·a)/θ⌋, 0, T)
    assert spikes.sum().item() == min(max(math.floor((v0 + steps * a) / theta), 0), steps)


@settings(max_examples=50, deadline=None)
@given(eighths=st.integers(-8, 16), steps=st.integers(1, 16))
def test_half_a_threshold_to_start_with_rounds(eighths: int, steps: int) -> None:
    a = eighths / 8
    neuron = Neuron(Dynamics(), theta=1.0, start=0.5)
    spikes, _ = neuron.advance(torch.full((steps, 1, 1), a), None)
    # clip(⌊T·a/θ + ½⌋, 0, T): the quantiser
    assert spikes.sum().item() == min(max(math.floor(steps * a + 0.5), 0), steps)


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_fast_forms_equal_the_plain_one(dynamics: Dynamics) -> None:
    z, theta = currents(7, 3, 4, 5), torch.tensor(0.8)
    v = torch.full((3, 4, 5), 0.1)
    expected = advance_by_steps(z, v, theta, decay=dynamics.decay, reset=dynamics.reset)
    plain = advance(z, v, theta, decay=dynamics.decay, reset=dynamics.reset)
    assert torch.equal(plain[0], expected[0])
    torch.testing.assert_close(plain[1], expected[1])
    neuron = Neuron(dynamics, theta=0.8, start=0.1, slope=FastSigmoid())
    fused, state = neuron.advance(z.requires_grad_(), None)
    assert torch.equal(fused.detach(), expected[0])
    torch.testing.assert_close(state.v, expected[1])
    assert expected[0].mean() > 0.05


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("theta", [torch.tensor(0.8), torch.tensor([0.7, 0.8, 1.3, 0.9])])
def test_spikes_take_the_place_of_a_current_that_nobody_else_reads(
    dynamics: Dynamics, dtype: torch.dtype, theta: Tensor
) -> None:
    neuron = Neuron(dynamics, theta=theta, height="threshold")
    z = currents(7, 3, 4, 5).to(dtype)
    before, kept = neuron.initial_state(z), z.clone()
    apart, state = neuron.advance(z, before)
    assert torch.equal(z, kept)
    assert torch.equal(before.v, neuron.initial_state(z).v)
    same, after = neuron.advance(z, before, ours=True)
    assert same.data_ptr() == z.data_ptr()
    assert after.v.data_ptr() == before.v.data_ptr()
    assert torch.equal(same, apart)
    assert torch.equal(after.v, state.v)
    assert 0.05 < (apart > 0).float().mean() < 0.95


def test_a_current_that_is_the_same_at_every_step_is_left_alone() -> None:
    one = currents(1, 3, 4, 5)
    kept, neuron = one.clone(), Neuron(theta=0.8)
    spikes, _ = neuron.advance(one.expand(6, 3, 4, 5), None, ours=True)
    assert torch.equal(one, kept)
    assert torch.equal(spikes, neuron.advance(kept.repeat(6, 1, 1, 1), None)[0])


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("theta", [torch.tensor(0.8), torch.tensor([0.7, 0.8, 1.3, 0.9])])
def test_spikes_as_high_as_the_threshold_are_unit_spikes_times_it(
    dynamics: Dynamics, dtype: torch.dtype, theta: Tensor
) -> None:
    z = currents(7, 3, 4, 5).to(dtype)
    unit, low = Neuron(dynamics, theta=theta).advance(z, None)
    high, same = Neuron(dynamics, theta=theta, height="threshold").advance(z, None)
    assert torch.equal(high, unit * per_channel(theta, z).to(dtype))
    assert torch.equal(low.v, same.v)
    assert 0.05 < unit.float().mean() < 0.95


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_fused_gradient_equals_that_of_the_steps(dynamics: Dynamics) -> None:
    slope = FastSigmoid(gamma=2.0)
    weights = currents(6, 2, 3, 4, seed=1)  # of the loss Σ w·s
    first, second = currents(6, 2, 3, 4).requires_grad_(), currents(6, 2, 3, 4).requires_grad_()
    fused, _ = Neuron(dynamics, slope=slope).advance(first, None)
    (fused * weights).sum().backward()
    spikes, _ = advance_by_steps(
        second,
        torch.zeros(2, 3, 4),
        torch.tensor(1.0),
        decay=dynamics.decay,
        reset=dynamics.reset,
        slope=slope,
    )
    (spikes * weights).sum().backward()
    assert first.grad is not None
    assert first.grad.abs().sum() > 0
    torch.testing.assert_close(first.grad, second.grad)


def test_fused_gradient_by_hand() -> None:
    z = torch.tensor([0.6, 0.6]).view(2, 1, 1).requires_grad_()
    spikes, _ = Neuron(Dynamics(), slope=FastSigmoid(gamma=1.0)).advance(z, None)
    spikes.sum().backward()
    # v⁻ − θ: −0.4, 0.2; slopes 1/1.4² and 1/1.2². The first current reaches both spikes.
    assert z.grad is not None
    late, early = 1 / 1.2**2, 1 / 1.4**2
    assert z.grad.flatten().tolist() == pytest.approx([early + late, late])


def test_hard_reset_cuts_the_gradient_through_a_spike() -> None:
    z = torch.tensor([1.5, 0.5]).view(2, 1, 1).requires_grad_()
    spikes, _ = Neuron(Dynamics(1.0, "hard"), slope=FastSigmoid(gamma=1.0)).advance(z, None)
    spikes[1].sum().backward()
    # The neuron fired at step 1, so step 2 knows nothing of the first current; 1/(1 + 0.5)²
    assert z.grad is not None
    assert z.grad.flatten().tolist() == pytest.approx([0.0, 1 / 1.5**2])


@settings(max_examples=25, deadline=None)
@given(
    dynamics=st.sampled_from(DYNAMICS),
    cut=st.integers(1, 8),
    seed=st.integers(0, 1000),
    theta=numbers(0.25, 2.0),
)
def test_a_chunked_run_equals_the_whole(
    dynamics: Dynamics, cut: int, seed: int, theta: float
) -> None:
    z = currents(9, 2, 5, seed=seed)
    neuron = Neuron(dynamics, theta=theta)
    whole, last = neuron.advance(z, None)
    first, state = neuron.advance(z[:cut], None)
    second, end = neuron.advance(z[cut:], state)
    assert torch.equal(torch.cat([first, second]), whole)
    assert torch.equal(end.v, last.v)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), theta=numbers(0.25, 2.0))
def test_soft_reset_conserves_charge(seed: int, theta: float) -> None:
    z = currents(12, 2, 5, seed=seed)
    spikes, state = Neuron(Dynamics(), theta=theta).advance(z, None)
    torch.testing.assert_close(state.v + theta * spikes.sum(0), z.sum(0), atol=1e-4, rtol=1e-4)


def test_no_leak_between_calls_and_the_current_is_not_changed() -> None:
    z = currents(5, 2, 3)
    kept = z.clone()
    neuron = Neuron(Dynamics(0.9))
    first, _ = neuron.advance(z, None)
    again, _ = neuron.advance(z, None)
    assert torch.equal(first, again)
    assert torch.equal(z, kept)


def test_the_state_passed_in_is_not_changed() -> None:
    neuron = Neuron(Dynamics())
    _, state = neuron.advance(currents(2, 1, 3), None)
    kept = state.v.clone()
    neuron.advance(currents(4, 1, 3, seed=3), state)
    assert torch.equal(state.v, kept)


def test_height_is_the_threshold_of_the_channel() -> None:
    neuron = Neuron(theta=torch.tensor([1.0, 2.0]), height="threshold", slope=FastSigmoid())
    current = torch.full((1, 1, 2, 1, 1), 2.5)
    assert neuron.advance(current, None)[0].flatten().tolist() == [1.0, 2.0]
    neuron.train_threshold()
    assert neuron.advance(current, None)[0].flatten().tolist() == [1.0, 2.0]
    neuron.freeze_threshold()
    neuron.slope = None
    assert neuron.advance(current, None)[0].flatten().tolist() == [1.0, 2.0]


def test_a_repeated_current_gives_the_spikes_of_its_copy() -> None:
    once = currents(2, 3, 4, 4).to(memory_format=torch.channels_last)
    repeated = once.unsqueeze(0).expand(5, *once.shape)
    neuron = Neuron(Dynamics())
    spikes, _ = neuron.advance(repeated, None)
    assert torch.equal(spikes, neuron.advance(repeated.clone().contiguous(), None)[0])
    assert spikes[0].is_contiguous(memory_format=torch.channels_last)


def test_membrane_is_float32_whatever_the_current() -> None:
    spikes, state = Neuron().advance(currents(3, 2, 4).bfloat16(), None)
    assert state.v.dtype == torch.float32
    assert spikes.dtype == torch.bfloat16


def test_trained_threshold_and_leak_get_gradients_and_freeze() -> None:
    neuron = Neuron(Dynamics(0.9), slope=FastSigmoid(), height="threshold")
    neuron.train_threshold(leak=True)
    spikes, _ = neuron.advance(currents(5, 2, 4), None)
    spikes.sum().backward()
    gradients = {name: p.grad for name, p in neuron.named_parameters()}
    assert set(gradients) == {"theta", "leak"}
    assert all(g is not None and g.abs() > 0 for g in gradients.values())
    assert neuron.leak is not None
    neuron.leak.data.fill_(0.6)  # as training moved it
    neuron.freeze_threshold()
    assert not list(neuron.parameters())
    assert neuron.dynamics.decay == pytest.approx(0.6)


def test_a_shift_adds_to_the_current_of_its_channel() -> None:
    neuron = Neuron(theta=1.0, shift=torch.tensor([0.0, 0.5]))
    spikes, state = neuron.advance(torch.full((2, 1, 2, 1), 0.25), None)
    # v⁻: 0.25, 0.5 without a shift; 0.75, 1.5 → 0.5 with ½ more at every step
    assert spikes.flatten().tolist() == [0.0, 0.0, 0.0, 1.0]
    assert state.v.flatten().tolist() == [0.5, 0.5]


def test_lif_decay_is_that_of_its_time_constant() -> None:
    assert NEURONS.get("lif")(tau=100.0).decay == pytest.approx(math.exp(-0.01))
    assert NEURONS.get("lif-iterative")().decay == 0.25
    assert NEURONS.get("if")().decay == 1.0
    resets = {name: NEURONS.get(name)().reset for name in NEURONS}
    assert resets == {"if": "soft", "lif": "hard", "lif-iterative": "hard"}


@pytest.mark.parametrize("theta", [0.0, -1.0, float("nan"), float("inf")])
def test_a_threshold_must_be_positive(theta: float) -> None:
    with pytest.raises(ValueError, match="theta must be finite and positive"):
        Neuron(theta=theta)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((1.5, "soft"), r"decay must lie in \[0, 1\], got 1.5"), ((1.0, "x"), "reset must be")],
)
def test_dynamics_out_of_range_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dynamics(*arguments)
