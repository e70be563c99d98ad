"""Scaling and shifting inside a network: every weight counts as 1."""

import pytest
import torch
from torch import Tensor, nn

from conversion import convert
from network.activity import count_activity
from network.encodings import image_keys
from network.graph import swap_activations, trace
from network.neurons import Neuron
from network.unroll import unroll
from network.wiring import wiring


class Affine(nn.Module):
    """A function of the image in front of a linear layer, and a weighted identity shortcut."""

    def __init__(self, change) -> None:
        super().__init__()
        self.change, self.inner, self.head = change, nn.Linear(4, 4), nn.Linear(4, 3)
        self.first, self.second = nn.ReLU(), nn.ReLU()
        self.register_buffer("scale", torch.tensor([0.25, -2.0, 0.0, 5.0]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.head(self.change(x, self.scale)))
        return self.second(torch.add(x * 0.5, x, alpha=3))


@pytest.mark.parametrize(
    "change",
    [
        lambda x, c: x,
        lambda x, c: x / 0.25,
        lambda x, c: 0.25 * x,
        lambda x, c: 1.0 - x,
        lambda x, c: -x,
        lambda x, c: (x - c) * c,
        lambda x, c: x.sub(c).div(0.5),
        lambda x, c: torch.add(x, c, alpha=4.0),
        lambda x, c: torch.add(c, x, alpha=4.0),
        lambda x, c: torch.sub(c, x, alpha=4.0),
    ],
)
def test_scaling_by_constants_drives_no_synapses(change) -> None:
    """An input spike drives 3 synapses; one of the neurons reaches the membranes on two ways."""
    body = trace(Affine(change))
    swap_activations(body, lambda name, activation: Neuron())
    fan_out = wiring(body, (4,), spiking_input=True).fan_out
    assert {t: c.tolist() for t, c in fan_out["input"].items()} == {"head": [3.0] * 4}
    assert {t: c.tolist() for t, c in fan_out["first"].items()} == {"second": [2.0] * 3}


def test_a_difference_drives_as_many_synapses_as_a_sum() -> None:
    """Through the linear layer 3 synapses, past it the same membrane: never a negative count."""

    class Difference(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.inner, self.second = nn.ReLU(), nn.Linear(3, 3), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return self.second(self.inner(x) - x)

    body = trace(Difference())
    swap_activations(body, lambda name, activation: Neuron())
    fan_out = wiring(body, (3,)).fan_out["first"]
    assert {t: c.tolist() for t, c in fan_out.items()} == {"inner": [3.0] * 3, "second": [1.0] * 3}


def test_a_scaled_image_drives_every_channel_that_it_is_copied_to() -> None:
    """One grey channel over three constants: 3 channels · 5 outputs for each spike."""

    class Coloured(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1))
            self.conv, self.neuron = nn.Conv2d(3, 5, 1), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.neuron(self.conv(x / self.scale))

    body = trace(Coloured())
    swap_activations(body, lambda name, activation: Neuron())
    (counts,) = wiring(body, (1, 2, 2), spiking_input=True).fan_out["input"].values()
    assert counts.tolist() == [[[15.0, 15.0], [15.0, 15.0]]]


def test_counts_do_not_change_where_weights_absorb_a_scaling() -> None:
    """x / 0.25 with a quarter of the weights is the same network, with the same ACs."""

    class Scaled(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            generator = torch.Generator().manual_seed(0)
            self.factor, self.neuron = factor, nn.ReLU()
            self.first, self.head = nn.Conv2d(1, 2, 3, bias=False), nn.Linear(8, 3, bias=False)
            with torch.no_grad():
                for layer in (self.first, self.head):
                    layer.weight.copy_(torch.rand(layer.weight.shape, generator=generator) - 0.3)
                self.first.weight.mul_(factor)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.neuron(self.first(x / self.factor)).flatten(1))

    x = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    totals = []
    for factor in (1.0, 0.25):
        net = convert(Scaled(factor), x, method="data-norm", encoding="poisson").network
        counter = count_activity(net, (1, 4, 4), 6)
        with torch.no_grad():
            unroll(net, x, 6, keys=image_keys(0, torch.arange(3)), taps=[counter])
        totals.append({name: counts.tolist() for name, counts in counter.accumulates.items()})
        # 2 channels; a place lies in 1, 2 or 4 windows of 3×3
        places = torch.tensor([[1.0, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]])
        assert torch.equal(counter.wires.fan_out["input"]["first"][0], 2 * places.double())
    assert totals[0] == totals[1]
    assert sum(totals[0]["first"]) > 0
