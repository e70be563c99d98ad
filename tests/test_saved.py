"""What a backward pass keeps: spikes as bytes, a current that does not change once."""

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

import network.unroll as unrolling
from direct import prepare
from direct.normalisation import ThresholdNorm1d
from direct.surrogates import surrogate
from network import saved
from network.graph import swap_activations, trace
from network.neurons import Dynamics, Neuron, Reset
from network.unroll import SpikingNetwork, unroll

STEPS, IMAGES = 6, 3


def spiking() -> SpikingNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
            nn.Linear(36, 2),
        )  # fmt: skip
    body = trace(model)
    swap_activations(body, lambda name, old: Neuron(theta=0.5, slope=surrogate("triangle", 1.0)))
    return SpikingNetwork(body).train()


def gradients(network: SpikingNetwork) -> list[Tensor]:
    images = torch.linspace(-1, 2, IMAGES * 36).view(IMAGES, 1, 6, 6)
    network.zero_grad()
    unroll(network, images, STEPS).square().sum().backward()
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


def test_bytes_give_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    network = spiking()
    packed: list[bool] = []
    pack = saved._pack

    def watch(x: Tensor) -> object:
        kept = pack(x)
        packed.append(not isinstance(kept, Tensor))
        return kept

    monkeypatch.setattr(saved, "_pack", watch)
    with_bytes = gradients(network)
    assert sum(packed) == 2  # what the second convolution and the pooling read
    monkeypatch.setattr(saved, "_pack", lambda x: x)
    for one, two in zip(with_bytes, gradients(network), strict=True):
        assert one.abs().sum() > 0
        assert torch.equal(one, two)


def test_a_current_that_does_not_change_is_kept_once() -> None:
    sizes: list[int] = []

    def pack(x: Tensor) -> Tensor:
        sizes.append(x.numel())
        return x

    current = torch.rand(1, IMAGES, 50, requires_grad=True)
    neuron = Neuron(slope=surrogate("triangle", 1.0))
    with saved_tensors_hooks(pack, lambda x: x):
        neuron.advance(current.expand(STEPS, IMAGES, 50), None)
    assert max(sizes) == IMAGES * 50  # without it v⁻ of every step, six times as much
    sizes.clear()
    with saved_tensors_hooks(pack, lambda x: x):
        neuron.advance(current.repeat(STEPS, 1, 1), None)
    assert max(sizes) == STEPS * IMAGES * 50


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_potentials_behind_batch_norm_come_again_bit_for_bit(
    reset: Reset, precision: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, padding=1),
            nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, 9), ThresholdNorm1d(9, 0.7),
            nn.ReLU(), nn.Linear(9, 2),
        )  # fmt: skip
    body = trace(model)
    slope = surrogate("fast-sigmoid", 1.0)
    dynamics = Dynamics(0.75, reset)
    swap_activations(body, lambda name, old: Neuron(dynamics, theta=0.5, slope=slope))
    network = SpikingNetwork(body).train()
    found = []
    for origin in (unrolling.origin_of, lambda *made: None):
        monkeypatch.setattr(unrolling, "origin_of", origin)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            found.append(gradients(network))
    assert len(found[0]) == 12
    for one, two in zip(*found, strict=True):
        assert one.abs().sum() > 0
        assert torch.equal(one, two)


def test_what_batch_norm_reads_is_all_that_is_kept_behind_it() -> None:
    places: set[int] = set()

    def pack(x: Tensor) -> Tensor:
        if x.nbytes == STEPS * IMAGES * 4 * 36 * 4:
            places.add(x.data_ptr())
        return x

    norm = nn.BatchNorm2d(4)
    x = torch.rand(STEPS * IMAGES, 4, 6, 6, requires_grad=True)
    neuron = Neuron(slope=surrogate("triangle", 1.0))
    for known in (True, False):
        places.clear()
        with saved_tensors_hooks(pack, lambda kept: kept):
            current = norm(x)
            origin = saved.origin_of(norm, x, current) if known else None
            neuron.advance(current.unflatten(0, (STEPS, IMAGES)), None, origin)
        assert len(places) == (1 if known else 2)  # x, and v⁻ of every step


def test_only_batch_norm_with_statistics_of_its_own_batch_is_an_origin() -> None:
    norm, x = nn.BatchNorm2d(4), torch.rand(2, 4, 6, 6, requires_grad=True)
    assert saved.origin_of(norm, x, norm(x)) is not None
    assert saved.origin_of(norm, x, 2 * norm(x)) is None  # as of processes that share a batch
    assert saved.origin_of(norm.eval(), x, norm(x)) is None
    assert saved.origin_of(nn.ReLU(), x, torch.relu(x)) is None


class AddedInPlace(nn.Module):
    """Writes a current into the tensor of spikes, which are then none any more."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(9, 9, 3, padding=1), nn.Conv2d(9, 9, 3, padding=1)
        self.relu, self.output = nn.ReLU(), nn.Conv2d(9, 2, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.relu(self.first(x)).add_(self.second(x))).flatten(1)


class AddedApart(AddedInPlace):
    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.relu(self.first(x)) + self.second(x)).flatten(1)


@pytest.mark.parametrize("rule", ["bptt", "rate-bp", "spike-bp"])
def test_spikes_that_are_written_in_place_are_none(rule: str) -> None:
    images, found = torch.linspace(-1, 2, IMAGES * 324).view(IMAGES, 9, 6, 6), []
    for kind in (AddedInPlace, AddedApart):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = kind()
        trained = prepare(
            model, rule=rule, timesteps=STEPS, images=images, labels=torch.arange(IMAGES) % 2,
            encoding="constant", options={} if rule != "spike-bp" else {"draw_weights": False},
        )  # fmt: skip
        trained.objective(images, torch.arange(IMAGES) % 2, torch.arange(IMAGES)).loss.backward()
        found.append([p.grad for p in trained.network.parameters() if p.grad is not None])
    assert any(gradient.any() for gradient in found[0])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two)


def test_the_mark_ends_with_the_first_write() -> None:
    x = saved.mark_spikes(torch.ones(3))
    assert saved.holds_spikes(x)
    x.mul_(2)
    assert not saved.holds_spikes(x)
    with torch.inference_mode():
        assert saved.holds_spikes(saved.mark_spikes(torch.ones(3)))
