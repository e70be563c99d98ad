"""Max pooling over spikes lets one spike of a window through: counted as it is observed."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from compare.sweep import folded
from compare.sweep_tables import spiking_layers
from direct import prepare
from network.activity import ActivityCounter, count_activity
from network.encodings import image_keys
from network.graph import UnsupportedNetwork, swap_activations, trace
from network.neurons import Neuron
from network.observation import Observation, carry_on
from network.unroll import SpikingNetwork, unroll

SHAPE = (1, 14, 14)
STEPS = 4


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(6, *SHAPE, generator=torch.Generator().manual_seed(1))


class Trains:
    """Keeps the spikes of one layer of neurons, [T, B, ...]."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.parts: list[Tensor] = []

    def inputs(self, first: int, inputs: Tensor) -> None:
        del first, inputs

    def neurons(self, name: str, first: int, current: Tensor, spikes: Tensor, state) -> None:
        del first, current, state
        if name == self.name:
            self.parts.append(spikes.clone())


def run(network: SpikingNetwork, images: Tensor, layer: str, **how) -> tuple:
    counter, trains = count_activity(network, tuple(images.shape[1:]), STEPS), Trains(layer)
    with torch.no_grad():
        unroll(network, images, STEPS, taps=[counter, trains], **how)
    return counter, torch.cat(trains.parts).double()


def trained(images: Tensor) -> SpikingNetwork:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(200, 5),
    )  # fmt: skip
    model(images)  # running statistics of its own
    labels = torch.arange(6) % 5
    rule = prepare(model, rule="bptt", timesteps=3, images=images, labels=labels)
    return folded(rule.finish())


@pytest.mark.parametrize("chunk", [1, 3])
def test_additions_behind_are_those_of_the_pooled_spikes(chunk: int, images: Tensor) -> None:
    counter, spikes = run(trained(images), images, "_2", chunk=chunk)
    pooled = F.max_pool2d(spikes.flatten(0, 1), 2)
    driven = F.conv2d(pooled, torch.ones(8, 4, 3, 3, dtype=torch.float64))
    by_step = driven.unflatten(0, (STEPS, -1)).flatten(1).sum(1)
    assert by_step.sum() > 0
    assert torch.equal(counter.accumulates["_4"], by_step)
    assert torch.equal(counter.pooled["_3"], pooled.unflatten(0, (STEPS, -1)).flatten(1).sum(1))
    assert set(counter.spikes) == {"_2", "_5"}
    rows = spiking_layers(counter, torch.arange(1, STEPS + 1).numpy())
    (last,) = (row for row in rows if row["layer"] == "_5" and row["timestep"] == STEPS)
    assert last["input_spikes_per_image"] == float(pooled.sum()) / 6
    assert last["ac_per_image"] == float(driven.sum()) / 6


def test_a_spiking_image_is_pooled_too() -> None:
    torch.manual_seed(0)
    body = trace(nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten()))
    swap_activations(body, lambda name, activation: Neuron())
    images = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(2)) * 0.5
    seen: list[Tensor] = []

    class Seen(ActivityCounter):
        def inputs(self, first: int, inputs: Tensor) -> None:
            seen.append(inputs.double().clone())
            super().inputs(first, inputs)

    network = SpikingNetwork(body, encoding="poisson")
    counted = count_activity(network, SHAPE, STEPS)
    counter = Seen(counted.wires, STEPS, counted.heights)
    with torch.no_grad():
        unroll(network, images, STEPS, keys=image_keys(0, torch.arange(3)), taps=[counter])
    pooled = F.max_pool2d(torch.cat(seen).flatten(0, 1), 2)
    driven = F.conv2d(pooled, torch.ones(2, 1, 3, 3, dtype=torch.float64))
    assert driven.sum() > 0
    assert counter.accumulates["_1"].sum() == driven.sum()


def test_what_observing_lets_through_counts_with_the_first_step(images: Tensor) -> None:
    network = trained(images)
    counter, spikes = run(network, images, "_2")
    watching = SpikingNetwork(network.body, observation=Observation(2, carry_on, carries_on=True))
    counted = count_activity(watching, SHAPE, STEPS - 2)
    with torch.no_grad():
        unroll(watching, images, STEPS - 2, taps=[counted])
    assert spikes[:2].sum() > 0
    for found, whole in (
        (counted.pooled["_3"], counter.pooled["_3"]),
        (counted.accumulates["_4"], counter.accumulates["_4"]),
    ):
        assert found.tolist() == [whole[:3].sum(), *whole[3:].tolist()]


def test_a_maximum_over_averaged_spikes_is_refused_by_name() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AvgPool2d(2), nn.MaxPool2d(2), nn.Conv2d(2, 2, 1),
        nn.ReLU(), nn.Flatten(),
    )  # fmt: skip
    body = trace(model)
    swap_activations(body, lambda name, activation: Neuron())
    with pytest.raises(UnsupportedNetwork, match=r"3 \(MaxPool2d\) takes the maximum over averag"):
        count_activity(SpikingNetwork(body), SHAPE, STEPS)


def test_of_several_heights_one_that_is_no_unit_is_refused() -> None:
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.pool = nn.ReLU(), nn.ReLU(), nn.MaxPool2d(2)
            self.head = nn.Conv2d(4, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            joined = self.pool(torch.cat([self.first(x), self.second(-x)], 1))
            return self.head(joined).flatten(1)

    heights = iter(("unit", "threshold"))
    body = trace(Joined())
    swap_activations(body, lambda name, activation: Neuron(height=next(heights)))
    with pytest.raises(UnsupportedNetwork, match="pool takes the maximum over spikes that are as"):
        count_activity(SpikingNetwork(body), (2, 4, 4), STEPS)


def test_signed_spikes_of_an_image_count_as_spikes_pooled_or_not() -> None:
    """Pixels of 1 and −1 spike at every step; a maximum lets −1 through where there is no 1."""
    body = trace(nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Flatten()))
    swap_activations(body, lambda name, activation: Neuron())
    network = SpikingNetwork(body, encoding="poisson-signed")
    image = torch.tensor([[1.0, -1.0, -1.0, -1.0], [0.0, -1.0, -1.0, -1.0]]).view(1, 1, 2, 4)
    counter = count_activity(network, (1, 2, 4), 2)
    with torch.no_grad():
        unroll(network, image, 2, keys=image_keys(0, torch.arange(1)), taps=[counter])
    assert counter.spikes["input"].tolist() == [7.0, 7.0]
    assert counter.pooled["_0"].tolist() == [2.0, 2.0]
    assert counter.accumulates["_1"].tolist() == [6.0, 6.0]  # to 3 channels each
