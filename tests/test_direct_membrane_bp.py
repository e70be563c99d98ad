"""membrane-bp against Lee 2016: the neuron, equations 3 to 13, and the gradients of a small net."""

import math

import pytest
import torch
from torch import Tensor, nn

from direct import OptionError, prepare
from direct.membrane_bp import EventDynamics, EventNeuron
from direct.membrane_bp import gradient as g
from direct.membrane_bp.neuron import event_step
from direct.membrane_bp.rule import with_gradients
from network.graph import UnsupportedNetwork
from tests.direct_networks import Convolutional, Flat, Toy, prepared, seeded

SLOW = EventDynamics(tau_ms=1e9)  # no leak worth mentioning


def run(dynamics: EventDynamics, theta: list[float], currents: list[list[float]]) -> Tensor:
    neuron = EventNeuron(dynamics, torch.tensor(theta))
    spikes, _ = neuron.advance(torch.tensor(currents).unsqueeze(1), None)
    return spikes[:, 0]


def test_leak_and_reset_by_hand() -> None:
    dynamics = EventDynamics(tau_ms=20.0)
    neuron = EventNeuron(dynamics, torch.tensor([1.0]))
    spikes, state = neuron.advance(torch.tensor([0.6, 0.6]).view(2, 1, 1), None)
    # 0.6, then 0.6e^(−1/20) + 0.6 = 1.1707 → spike, minus θ
    assert spikes.flatten().tolist() == [0.0, 1.0]
    assert state.v.item() == pytest.approx(0.6 * math.exp(-0.05) + 0.6 - 1.0)


def test_refractory_weight_recovers_quadratically() -> None:
    dynamics = EventDynamics(tau_ms=1e9, refractory_ms=4.0)
    theta, v, since = torch.tensor([1.0]), torch.zeros(1, 1), torch.full((1, 1), math.inf)
    _, v, since = event_step(torch.tensor([[1.0]]), v, since, theta, dynamics)
    gained = []
    for _ in range(5):
        before = v
        _, v, since = event_step(torch.tensor([[0.1]]), v, since, theta, dynamics)
        gained.append((v - before).item() / 0.1)
    # (Δt/T_ref)² for Δt = 1, 2, 3 of 4 ms, then 1
    assert gained == pytest.approx([1 / 16, 4 / 16, 9 / 16, 1.0, 1.0], rel=1e-3)


def test_the_potential_stops_at_minus_theta() -> None:
    neuron = EventNeuron(SLOW, torch.tensor([0.5]))
    _, state = neuron.advance(torch.full((3, 1, 1), -1.0), None)
    assert state.v.item() == -0.5


def test_neurons_that_cross_in_one_step_take_turns() -> None:
    dynamics = EventDynamics(tau_ms=1e9, inhibition=0.4)
    neuron = EventNeuron(dynamics, torch.tensor([1.0, 2.0, 1.0, 1.0]))
    spikes, state = neuron.advance(torch.tensor([[1.3, 3.2, 1.5, 0.0]]).unsqueeze(1), None)
    # v/θ = 1.3, 1.6, 1.5, 0: rank 0 is neuron 2 (1.6 ≥ 1), rank 1 neuron 3 (1.5 ≥ 1.4), rank 2
    # neuron 1 (1.3 < 1.8) waits. v: 1.3 − 2·0.4, 3.2 − 2 − 0.4·2, 1.5 − 1 − 0.4, −2·0.4
    assert spikes.flatten().tolist() == [0.0, 1.0, 1.0, 0.0]
    assert state.v.flatten().tolist() == pytest.approx([0.5, 0.4, 0.1, -0.8])


def test_a_winner_lowers_the_others_by_a_share_of_their_threshold() -> None:
    dynamics = EventDynamics(tau_ms=1e9, inhibition=0.4)
    neuron = EventNeuron(dynamics, torch.tensor([1.0, 2.0, 0.5]))
    _, state = neuron.advance(torch.tensor([[1.0, 1.0, -0.45]]).unsqueeze(1), None)
    # Neuron 1 spikes and is reset; 1.0 − 0.4·2.0 = 0.2; −0.45 − 0.4·0.5 stops at −0.5
    assert state.v.flatten().tolist() == pytest.approx([0.0, 0.2, -0.5])


def test_chunks_carry_the_refractory_time() -> None:
    dynamics = EventDynamics(refractory_ms=5.0, inhibition=0.3)
    neuron = EventNeuron(dynamics, torch.full((4,), 0.6))
    z = torch.rand(12, 3, 4, generator=torch.Generator().manual_seed(0))
    whole, last = neuron.advance(z, None)
    first, state = neuron.advance(z[:5], None)
    second, end = neuron.advance(z[5:], state)
    assert torch.equal(torch.cat([first, second]), whole)
    assert torch.equal(end.v, last.v)
    assert 0 < whole.mean() < 1


def test_backward_through_a_group_solves_equation_7() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    theta = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    error = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    active = torch.ones(2, 3, dtype=torch.float64)
    strength = 0.4
    q = g.RESET / g.EFFICACY
    # eq. 7 with κ_ij = −μ: q on the diagonal, μ = 0.4 beside it
    matrix = torch.full((3, 3), strength, dtype=torch.float64)
    matrix.fill_diagonal_(q)
    jacobian = torch.linalg.inv(matrix) / g.EFFICACY @ (weight / theta[:, None])  # ∂a/∂x
    # δ_j holds ∂L/∂a_j·∂a_j/∂s_j with ∂a_j/∂s_j = 1/(γθ_j)
    expected = (error * theta * g.RESET) @ jacobian
    found = g.backward_through(weight, theta, error, active, strength)
    torch.testing.assert_close(found, expected)
    plain = g.backward_through(weight, theta, error, active, 0.0)
    torch.testing.assert_close(plain, error @ weight)


def test_error_normalisation_by_hand() -> None:
    theta = torch.tensor([1.0, 2.0, 4.0, 1.0])
    active = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    arrived = torch.tensor([[1.0, 1.0, 1.0, 1.0]])
    # g = 1, ½; ḡ = √((1 + ¼)/2) = 0.790569; √(M/m) = √(4/2)
    mean = math.sqrt(1.25 / 2)
    expected = [math.sqrt(2) / mean, math.sqrt(2) * 0.5 / mean, 0.0, 0.0]
    assert g.hidden_error(theta, active, arrived).tolist()[0] == pytest.approx(expected)


def test_errors_keep_their_size_through_a_layer() -> None:
    generator = torch.Generator().manual_seed(0)
    units = 400
    bound = math.sqrt(3 / units)  # eq. 10: the squares of a row sum to 1
    weight = (torch.rand(300, units, generator=generator) * 2 - 1) * bound
    error = torch.randn(50, 300, generator=generator)
    active = (torch.rand(50, units, generator=generator) < 0.2).float()
    below = g.hidden_error(torch.full((units,), 0.5), active, error @ weight)
    ratio = below.square().sum() / error.square().sum()
    # E[Σ(Σ_j w_ji δ_j)²] over the m active ones = (m/M)·Σδ²·1, times M/m
    assert ratio.item() == pytest.approx(1.0, abs=0.1)


def test_updates_by_hand() -> None:
    error = torch.tensor([[0.5, -1.0]])  # N = 2
    inputs = torch.tensor([[2.0, 0.0, 1.0]])  # M = 3, m = 2 active
    assert g.weight_gradient(error, inputs).tolist() == [[1.0, 0.0, 0.5], [-2.0, 0.0, -1.0]]
    # √(N/(mM)) = √(2/6); â = a_i + ½·0.4·(others) = 3 + 0.2·1, 1 + 0.2·3
    trace = torch.tensor([[3.0, 1.0]])
    scale = math.sqrt(2 / 6)
    assert g.threshold_gradient(error, inputs, trace, 0.4).tolist() == pytest.approx(
        [-scale * 0.5 * 3.2, scale * 1.0 * 1.6]
    )


def test_exponential_regularisation_is_the_gradient_of_equation_13() -> None:
    weight = torch.tensor([[0.6, 0.7], [0.2, -0.3]], requires_grad=True)
    cost = 0.5 * 0.02 * torch.exp(10.0 * (weight.square().sum(dim=1) - 1)).sum()
    (expected,) = torch.autograd.grad(cost, [weight])
    found = g.exponential_regularisation(weight.detach(), 0.02, 10.0)
    torch.testing.assert_close(found, expected)


def test_threshold_regularisation_by_hand() -> None:
    counts = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    # image 1: ρ(3·2 − 3, −3, 3 − 3) = ρ(3, −3, 0); image 2: ρ(−1, −1, 2); their mean
    shift = g.threshold_shift(counts, 0.1)
    assert shift.tolist() == pytest.approx([0.1, -0.2, 0.1])
    assert shift.sum().item() == pytest.approx(0.0, abs=1e-6)


def test_with_gradients_hands_them_back() -> None:
    parameter, wanted = nn.Parameter(torch.tensor([1.0, 2.0])), torch.tensor([3.0, -4.0])
    value = with_gradients(torch.tensor(7.0), [(parameter, wanted)])
    value.backward()
    assert value.item() == 7.0
    assert parameter.grad is not None
    assert torch.equal(parameter.grad, wanted)


def test_gradients_of_a_network_by_hand() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 2))
    images, labels = torch.tensor([[1.0]]), torch.tensor([1])
    options = {
        "tau_ms": 40.0, "inhibition": 0.0, "output_inhibition": 0.0, "rho": 0.0,
        "weight_lambda": 0.0, "floor": 0.01, "balance": 1.0,
    }  # fmt: skip
    trainable = prepare(
        model, rule="membrane-bp", timesteps=4, options=options, images=images, labels=labels,
        encoding="poisson",
    )  # fmt: skip
    hidden, output = trainable.network.neurons().values()
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[2].weight.copy_(torch.tensor([[1.0], [1.1]]))
        hidden.theta.fill_(1.5)
        output.theta.copy_(torch.tensor([1.5, 1.0]))
    loss, scores = trainable.objective(images, labels, torch.arange(1))
    loss.backward()
    # Input: 4 spikes. Hidden: v = 1, 1.98, 1.46, 2.43: spikes at steps 2 and 4. Output: v = 1, 1.95
    # and 1.1, 1.2 at those: 1 and 2 spikes
    # a = ½, 1; e = ½, 0; Σea = ¼; errors ½, −¼; loss ⅛
    assert scores.tolist() == [[0.5, 1.0]]
    assert loss.item() == pytest.approx(0.125)
    # Output δ = (g/ḡ)·error, g = ⅔, 1, ḡ = √(13/18). Mean traces: 1/(T(1 − e^(−1/40))) a spike
    trace = 1 / (4 * (1 - math.exp(-1 / 40)))
    delta = [2 / 3 * 0.5 / math.sqrt(13 / 18), -0.25 / math.sqrt(13 / 18)]
    # ΔW = √(2/1)·δ·x, x of 2 spikes
    assert model[2].weight.grad is not None
    assert model[2].weight.grad.flatten().tolist() == pytest.approx(
        [math.sqrt(2) * d * 2 * trace for d in delta]
    )
    # Hidden: one neuron, active: δ = 1·√(1/1)·Σ_j w_j δ_j; ΔW = √(1/1)·δ·x, x of 4 spikes
    below = 1.0 * delta[0] + 1.1 * delta[1]
    assert model[0].weight.grad is not None
    assert model[0].weight.grad.item() == pytest.approx(below * 4 * trace, rel=1e-4)
    # Δθ of the hidden neuron: −√(1/(1·1))·δ·a, a of 2 spikes, at η_th/η_w of the rate
    assert hidden.theta.grad is not None
    assert hidden.theta.grad.item() == pytest.approx(-below * 2 * trace, rel=1e-4)
    assert hidden.learning_share == output.learning_share == 0.1


def test_initialisation_of_equation_9() -> None:
    trainable = prepared("membrane-bp", options={"alpha": 4.0})
    neurons = list(trainable.network.neurons().values())
    weights = [p for p in trainable.network.parameters() if p.ndim == 2]
    for neuron, weight in zip(neurons, weights, strict=True):
        bound = math.sqrt(3 / weight.shape[1])
        assert neuron.theta.tolist() == pytest.approx([4 * bound] * weight.shape[0])
        assert weight.abs().max() <= bound
        assert weight.abs().max() > 0.8 * bound


def test_what_it_cannot_train_is_named() -> None:
    with pytest.raises(UnsupportedNetwork, match=r"got 1 \(BatchNorm2d\)"):
        prepared("membrane-bp", model=seeded(Convolutional))
    with pytest.raises(UnsupportedNetwork, match=r"linear layers only, got 0 \(Conv2d\)"):
        prepared(
            "membrane-bp",
            model=nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2)),
        )
    with pytest.raises(OptionError, match="membrane-bp: alpha must be above 1, got 1"):
        prepared("membrane-bp", model=seeded(Flat), options={"alpha": 1.0})
    with pytest.raises(ValueError, match="tau_ms must be positive, got 0"):
        EventDynamics(tau_ms=0.0)
    with pytest.raises(OptionError, match="readout spike-count only, got mean-current"):
        prepare(
            seeded(Flat), rule="membrane-bp", timesteps=4, readout="mean-current",
            images=Toy().images, labels=Toy().labels,
        )  # fmt: skip


def test_every_layer_draws_weights_of_its_own() -> None:
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(36, 36), nn.ReLU(), nn.Linear(36, 36), nn.ReLU(), nn.Linear(36, 36),
        nn.ReLU(), nn.Linear(36, 2),
    )  # fmt: skip
    prepared("membrane-bp", 3, model=model)
    drawn = torch.stack([model[place].weight.detach().flatten() for place in (1, 3, 5)])
    assert drawn.abs().max().item() <= math.sqrt(3 / 36)
    shared = torch.corrcoef(drawn) - torch.eye(3)
    assert shared.abs().max().item() < 0.1  # 1,296 independent pairs: 3.6 standard errors


@pytest.mark.parametrize(
    ("name", "value"),
    [("rho", -1.0), ("threshold_rate", -0.1), ("weight_lambda", -1.0)],
)
def test_negative_options_are_refused(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=f"{name} must be at least 0, got {value}"):
        prepared("membrane-bp", options={name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("floor", 1.5), ("balance", 7.0), ("floor", -1.0), ("inhibition", -0.4)]
)
def test_shares_are_from_0_to_1(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=f"{name} must be at least 0 and at most 1, got {value}"):
        prepared("membrane-bp", options={name: value})
