"""Rules with one backward pass: spike-bp against Lee 2020's equations, rate-bp, memory in T."""

import math

import pytest
import torch
from torch import Tensor, nn

from direct import prepare
from direct.editing import add_spiking_pooling, draw_weights
from direct.replay import normalise
from direct.spike_bp import LeakCorrected
from network import saved
from network.copying import copied
from network.graph import Kind, layers, swap_activations, trace
from network.neurons import Dynamics, Neuron
from network.readouts import MEMBRANE_DECAY
from network.unroll import SpikingNetwork, unroll
from tests.direct_networks import Convolutional, Flat, Residual, Toy, WithoutNorm, prepared, seeded

TAU = 10.0
OPTIONS = {"tau": TAU, "draw_weights": False, "spiking_pooling": False}


def test_slope_by_hand() -> None:
    slopes = LeakCorrected(Neuron(Dynamics(math.exp(-1 / TAU), "hard"), theta=2.0))
    spikes = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]).view(4, 1, 2)
    slopes.add(spikes, spikes[:3])  # in two chunks
    slopes.add(spikes, spikes[3:])
    # Spikes at t = 1 and 3 of T = 4: f′ = −(1/10)(e^(−3/10) + e^(−1/10)), x = 2; silent: 0
    leak = -(math.exp(-0.3) + math.exp(-0.1)) / TAU
    expected = (1 + leak / 2) / 2.0
    assert slopes.slope(spikes.sum(0), 4).tolist()[0] == pytest.approx([expected, 0.0])


def two_layers() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.6, 0.0], [0.1, -0.2]]))
        model[2].weight.copy_(torch.tensor([[0.5, -1.0]]))
    return model


def test_gradients_by_hand_on_two_hidden_neurons() -> None:
    model, decay = two_layers(), math.exp(-1 / TAU)
    images = torch.tensor([[1.0, 1.0]])  # Poisson of 1: a spike at every step
    trainable = prepare(
        model, rule="spike-bp", timesteps=4, options=OPTIONS, images=images,
        labels=torch.zeros(1, dtype=torch.long),
    )  # fmt: skip
    loss, scores = trainable.objective(images, torch.zeros(1, dtype=torch.long), torch.arange(1))
    loss.backward()
    # Neuron 1, current 0.6: v⁻ = 0.6, 0.6e^(−0.1) + 0.6 = 1.14 → spike, 0; the same again:
    # spikes at 2 and 4. Neuron 2, current −0.1: silent. Output v(4) = 0.5e^(−2/10) + 0.5, as all
    # layers leak with one τ.
    out = (0.5 * math.exp(-0.2) + 0.5) / 4
    error = out - 1.0
    assert scores.item() == pytest.approx(out)
    assert loss.item() == pytest.approx(0.5 * error**2)
    # ΔW_out = (e/T)·x, x = (2, 0)
    assert model[2].weight.grad is not None
    assert model[2].weight.grad.tolist()[0] == pytest.approx([error / 4 * 2, 0.0])
    # δ_1 = 0.5·(e/T)·(1 + f′/x), f′ = −(1/10)(e^(−2/10) + 1), x = 2; ΔW = δ·x_in, x_in = 4
    slope = 1 - (decay**2 + 1) / TAU / 2
    hidden = 0.5 * error / 4 * slope * 4
    assert model[0].weight.grad is not None
    assert model[0].weight.grad.flatten().tolist() == pytest.approx([hidden, hidden, 0.0, 0.0])


@pytest.mark.parametrize(("tau", "decay"), [(5.0, math.exp(-1 / 5)), (None, MEMBRANE_DECAY)])
def test_the_output_leaks_as_all_layers_do(tau: float | None, decay: float) -> None:
    options = {} if tau is None else {"tau": tau}
    network = prepared("spike-bp", options=options).finish()
    assert network.readout_decay == decay
    assert copied(network).readout_decay == decay
    scores = copied(network).read(torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1))
    assert scores.flatten().tolist() == pytest.approx([1.0, decay / 2, decay**2 / 3])


def test_spiking_pooling_by_hand() -> None:
    body = trace(nn.Sequential(nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()))
    swap_activations(body, lambda name, relu: Neuron())
    names = add_spiking_pooling(body, 0.75)
    network = SpikingNetwork(body)
    assert [network.neurons()[name].role for name in names] == ["pooling"]
    images = torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 1, 2, 2)
    # Two of four spike at every step: ½, then 1 ≥ 0.75 → spike and reset to 0, then ½ again
    assert unroll(network, images, 4).flatten().tolist() == [0, 1, 0, 1]


def test_averaged_currents_are_no_spikes_to_pool() -> None:
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.AvgPool2d(2), nn.BatchNorm2d(2), nn.ReLU(), nn.Dropout(0.5),
        nn.AvgPool2d(2), nn.Flatten(),
    )  # fmt: skip
    body = trace(module)
    swap_activations(body, lambda name, relu: Neuron())
    names = add_spiking_pooling(body, 0.75)
    assert [node.name for node, _ in layers(body, Kind.AVERAGE_POOL)] == ["_1", "_5"]
    assert names == ["_5_neurons"]


def test_currents_that_are_joined_and_averaged_twice_are_no_spikes() -> None:
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3)
            self.pool = nn.AvgPool2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            joined = torch.cat([self.one(x), self.two(x)], dim=1)
            return torch.relu(self.pool(self.pool(joined)))

    body = trace(Joined())
    swap_activations(body, lambda name, relu: Neuron())
    assert add_spiking_pooling(body, 0.75) == []


def test_weights_are_drawn_with_kappa_over_fan_in() -> None:
    plain = trace(nn.Sequential(nn.Linear(400, 300), nn.ReLU(), nn.Linear(300, 300)))
    draw_weights(plain, torch.Generator().manual_seed(0))
    spreads = [layer.weight.std().item() for _, layer in layers(plain, Kind.SYNAPSE)]
    # √(2/400), √(2/300)
    assert spreads == pytest.approx([math.sqrt(2 / 400), math.sqrt(2 / 300)], rel=0.02)
    residual = trace(seeded(Residual))
    draw_weights(residual, torch.Generator().manual_seed(0))
    last = [layer.weight for _, layer in layers(residual, Kind.SYNAPSE)][1]
    assert last.std().item() == pytest.approx(math.sqrt(1 / 27), rel=0.2)


@pytest.mark.parametrize("model", [Convolutional, WithoutNorm, Residual, Flat])
def test_the_replay_puts_out_the_mean_current(model: type[nn.Module]) -> None:
    toy = Toy(20)
    trainable = prepared("rate-bp", 6, model=seeded(model))
    network = trainable.network.eval()
    _, scores = trainable.objective(toy.images, toy.labels, torch.arange(20))
    with torch.no_grad():
        torch.testing.assert_close(scores, network(toy.images, 6)[-1])


def test_rate_bp_by_hand() -> None:
    model = two_layers()
    images, labels = torch.tensor([[1.0, 1.0]]), torch.zeros(1, dtype=torch.long)
    trainable = prepare(
        model, rule="rate-bp", timesteps=2, images=images, labels=labels,
        options={"loss": "mse", "gamma": 1.0, "balance": False},
    )  # fmt: skip
    loss, _ = trainable.objective(images, labels, torch.arange(1))
    loss.backward()
    # v⁻ of neuron 1: 0.6, 1.2 (spikes at 2); of neuron 2: −0.1, −0.2. Output 0.5·½, e = −0.75
    first = (1 / (1 + 0.4) ** 2 + 1 / (1 + 0.2) ** 2) / 2
    second = (1 / (1 + 1.1) ** 2 + 1 / (1 + 1.2) ** 2) / 2
    assert model[0].weight.grad is not None
    assert model[0].weight.grad[:, 0].tolist() == pytest.approx(
        [-0.75 * 0.5 * first, -0.75 * -1.0 * second]
    )
    assert model[2].weight.grad is not None
    assert model[2].weight.grad.tolist()[0] == pytest.approx([-0.75 * 0.5, 0.0])


@pytest.mark.parametrize("model", [Convolutional, WithoutNorm, Residual])
def test_rate_bp_of_one_step_is_bptt(model: type[nn.Module]) -> None:
    gradients = []
    for rule in ("bptt", "rate-bp"):
        toy, trainable = Toy(20), prepared(rule, 1, model=seeded(model))
        trainable.network.train()
        loss, _ = trainable.objective(toy.images, toy.labels, torch.arange(20))
        loss.backward()
        gradients.append({name: p.grad for name, p in trainable.network.named_parameters()})
    assert len(gradients[0]) >= 6
    assert gradients[0].keys() == gradients[1].keys()
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, atol=1e-6, rtol=1e-4, msg=name)


def test_normalise_is_batch_norm_where_the_variance_is_its_own() -> None:
    norm, x = nn.BatchNorm2d(3), torch.randn(8, 3, 4, 4, requires_grad=True)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 0.5]))
        norm.bias.copy_(torch.tensor([0.0, 1.0, -1.0]))
    variance = x.detach().var((0, 2, 3), unbiased=False)
    found, expected = normalise(norm, x, variance), norm(x)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(expected)
    one, other = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (found, expected))
    torch.testing.assert_close(one, other)


class Dropped(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Flatten(), nn.Linear(36, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 2)
        )


def test_dropout_is_one_mask_for_the_run_and_the_replay() -> None:
    trainable = prepared("rate-bp", 6, model=seeded(Dropped))
    trainable.network.train()
    toy = Toy(20)
    torch.manual_seed(1)
    loss, scores = trainable.objective(toy.images, toy.labels, torch.arange(20))
    loss.backward()
    weight = trainable.network.get_parameter("body.4.weight")
    assert weight.grad is not None
    torch.manual_seed(1)
    with torch.no_grad():  # the same masks in an ordinary run
        again = trainable.network(toy.images, 6)[-1]
    torch.testing.assert_close(scores, again)


@pytest.mark.parametrize(("rule", "flat"), [("spike-bp", True), ("rate-bp", True), ("bptt", False)])
def test_what_is_kept_for_the_backward_pass_against_timesteps(
    rule: str, flat: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    for timesteps in (8, 64):
        toy, trainable = Toy(8), prepared(rule, timesteps)
        trainable.network.train()
        kept: dict[int, int] = {}

        def keep(x: Tensor, kept: dict[int, int] = kept) -> Tensor:
            kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        monkeypatch.setattr(saved, "_pack", keep)  # what is saved within the loop over time
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            loss, _ = trainable.objective(toy.images, toy.labels, torch.arange(8))
        sizes.append(sum(kept.values()))
        del loss
    # the graph of bptt grows with T, by 8 here but for the weights
    assert (sizes[1] <= 1.05 * sizes[0]) if flat else (sizes[1] > 5 * sizes[0])
    assert sizes[0] > 0
