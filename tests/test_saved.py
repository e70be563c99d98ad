"""What a backward pass keeps: spikes as bytes, a current that does not change once."""

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from direct.surrogates import surrogate
from network import saved
from network.graph import swap_activations, trace
from network.neurons import Neuron
from network.unroll import SpikingNetwork, unroll

STEPS, IMAGES = 6, 3


def spiking(reset_from: int = 0) -> SpikingNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(reset_from)
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
