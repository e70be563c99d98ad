"""Spikes written where a current lay: only where nobody else reads it."""

import ctypes

import pytest
import torch
from torch import Tensor, nn

from network import chunks
from network.activity import count_activity
from network.compiled.parts import over_parts
from network.graph import Kind, layers, swap_activations, trace
from network.neurons import Neuron
from network.nodes import owners_of_currents, static_nodes
from network.steps import Height
from network.unroll import SpikingNetwork, unroll
from tests.small_networks import NETWORKS, images, network

STEPS = 6


class Forked(nn.Module):
    """A current that neurons and a later sum read, and one that is looked at through a view."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.third, self.out = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4 * 64, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        shared = self.second(x)
        view = shared.flatten(1)
        x = torch.relu(shared)
        x = torch.relu(self.third(x))
        return self.out(x.flatten(1) + view)


def spiking(module: nn.Module, height: Height = "threshold") -> SpikingNetwork:
    body = trace(module)
    swap_activations(body, lambda layer, activation: Neuron(theta=0.3, height=height))
    body.recompile()
    return SpikingNetwork(body).eval()


class Currents:
    """A tap that reads currents."""

    def __init__(self) -> None:
        self.largest: dict[str, float] = {}
        self.steps: list[int] = []

    def inputs(self, first: int, inputs: Tensor) -> None:
        del first, inputs

    def neurons(self, name: str, first: int, current: Tensor, spikes: Tensor, state) -> None:
        self.largest[name] = max(self.largest.get(name, 0.0), float(current.max()))
        if name == next(iter(self.largest)):
            self.steps.append(len(current))


def drawn(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_every_network_spikes_the_same_with_and_without(name: str) -> None:
    torch.manual_seed(0)
    whole, x = spiking(network(name), "unit"), images(3)
    plain = unroll(whole, x, STEPS, taps=[Currents()])  # reads currents: nothing is overwritten
    assert torch.equal(unroll(whole, x, STEPS), plain)
    counter = count_activity(whole, tuple(x.shape[1:]), STEPS)
    assert torch.equal(unroll(whole, x, STEPS, taps=[counter]), plain)


@torch.no_grad()
def test_currents_with_another_reader_are_not_owned() -> None:
    torch.manual_seed(0)
    forked, x = spiking(Forked()), drawn(2, 1, 8, 8)
    neurons = [node for node, _ in layers(forked.body, Kind.NEURON)]
    owners = owners_of_currents(forked.body, static_nodes(forked.body))
    assert owners == {neurons[2]}  # not behind the constant current, not beside the view
    assert torch.equal(unroll(forked, x, STEPS), unroll(forked, x, STEPS, taps=[Currents()]))


@torch.no_grad()
def test_a_hook_sees_currents() -> None:
    torch.manual_seed(0)
    forked, x, seen = spiking(Forked()), drawn(2, 1, 8, 8), []
    layer = forked.body.get_submodule("third")
    layer.register_forward_hook(lambda module, given, current: seen.append(current))
    unroll(forked, x, STEPS)
    watch = Currents()
    unroll(forked, x, STEPS, taps=[watch])
    owner = [node.name for node, _ in layers(forked.body, Kind.NEURON)][2]
    largest = max(float(current.max()) for current in seen[: len(seen) // 2])
    assert largest == watch.largest[owner]
    assert largest not in (0.0, pytest.approx(0.3))  # no spikes of height θ


@torch.no_grad()
def test_large_maps_take_fewer_steps_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    forked, x = spiking(Forked()), drawn(2, 1, 8, 8)
    map_bytes = 2 * 4 * 8 * 8 * 4
    for room, expected in (
        (map_bytes * 9, [4, 4, 1]),
        (map_bytes * 2, [4, 2, 2, 1]),
        (1, [4] + 5 * [1]),
    ):
        monkeypatch.setattr(chunks, "LARGEST_MAP", room)
        watch = Currents()
        unroll(forked, x, 9, taps=[watch])
        assert watch.steps == expected
    assert chunks.steps_at_once(10**9, torch.device("cuda")) == chunks.INFERENCE_CHUNK


class Empty(ctypes.Structure):
    _fields_ = ()


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_parts_cover_everything_once(threads: int) -> None:
    done: list[int] = []

    def part(layer: object, first: ctypes.c_int64, last: ctypes.c_int64) -> int:
        done.extend(range(first.value, last.value))
        return 0

    over_parts(part, Empty(), count=5, threads=threads)
    assert sorted(done) == list(range(5))
    for bad in range(5):
        with pytest.raises(MemoryError):
            over_parts(
                lambda layer, first, last, bad=bad: int(first.value <= bad < last.value),
                Empty(),
                count=5,
                threads=threads,
            )
