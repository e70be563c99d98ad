"""What reads spikes without synapses of its own passes all of them on; the rest is refused."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from compare.plan import multiplications
from network.graph import UnsupportedNetwork, swap_activations, trace
from network.neurons import Neuron
from network.wiring import wiring

SHAPE = (2, 4, 4)
Change = Callable[["Changed", Tensor], Tensor]


class Changed(nn.Module):
    """Neurons [4, 4, 4], a change of their spikes, a layer with 3 outputs."""

    def __init__(self, change: Change, features: int, *extra: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.change, self.extra = change, nn.ModuleList(extra)
        self.conv, self.neuron = nn.Conv2d(2, 4, 3, padding=1), nn.ReLU()
        self.weight = nn.Parameter(torch.rand(3, 64))
        self.kernel = nn.Parameter(torch.rand(4, 4, 1, 1))
        self.head = nn.Linear(features, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.change(self, self.neuron(self.conv(x))).flatten(1))
        return out


PASSED: dict[str, tuple[Change, int, list[float]]] = {  # features, synapses of a spike
    "detach": (lambda s, x: x.detach(), 64, [3.0]),
    "cast": (lambda s, x: x.float().to(torch.float32), 64, [3.0]),
    "padding": (lambda s, x: F.pad(x, (1, 1, 1, 1), value=2.0), 144, [3.0]),
    "nearest": (lambda s, x: F.interpolate(x, scale_factor=2), 256, [12.0]),
    "shuffled": (lambda s, x: F.channel_shuffle(x, 2), 64, [3.0]),
    "mean of rows": (lambda s, x: x.mean(3), 16, [3.0]),
    "stacked": (lambda s, x: torch.stack([x, x]).sum(0), 64, [6.0]),
    "scaled": (lambda s, x: torch.mul(x, other=0.5), 64, [3.0]),
}

REFUSED: dict[str, tuple[Change, int, tuple[nn.Module, ...], str]] = {
    "weights": (lambda s, x: F.linear(x.flatten(1), s.weight), 3, (), "linear.*as nn.Linear"),
    "kernel": (lambda s, x: F.conv2d(x, s.kernel), 64, (), "conv2d.*as nn.Conv2d"),
    "groups": (lambda s, x: s.extra[0](x), 64, (nn.GroupNorm(2, 4),), "GroupNorm.*nn.BatchNorm2d"),
    "transposed": (
        lambda s, x: s.extra[0](x), 64, (nn.ConvTranspose2d(4, 4, 1),),
        "ConvTranspose2d.*nn.Upsample and nn.Conv2d",
    ),
    "squared": (lambda s, x: x.pow(2), 64, (), "pow"),
    "gated": (lambda s, x: x * torch.sigmoid(x), 64, (), "sigmoid"),
    "linear upsampling": (
        lambda s, x: F.interpolate(x, scale_factor=2, mode="bilinear"), 256, (), "interpolate",
    ),
}  # fmt: skip


def spiking(model: nn.Module) -> torch.fx.GraphModule:
    body = trace(model)
    swap_activations(body, lambda name, activation: Neuron())
    return body


@pytest.mark.parametrize("name", PASSED)
def test_every_spike_is_passed_on(name: str) -> None:
    change, features, counts = PASSED[name]
    fan_out = wiring(spiking(Changed(change, features)), SHAPE).fan_out["neuron"]
    assert {target: fan.unique().tolist() for target, fan in fan_out.items()} == {"head": counts}


@pytest.mark.parametrize("name", REFUSED)
def test_what_hides_synapses_is_refused_in_one_line(name: str) -> None:
    change, features, extra, said = REFUSED[name]
    with pytest.raises(UnsupportedNetwork, match=f"{said}") as refusal:
        wiring(spiking(Changed(change, features, *extra)), SHAPE)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["weights", "kernel", "groups", "transposed"])
def test_weights_that_nobody_counts_are_refused_in_an_ann_too(name: str) -> None:
    change, features, extra, said = REFUSED[name]
    model = Changed(change, features, *extra)
    with pytest.raises(UnsupportedNetwork, match=said):
        wiring(trace(model), SHAPE)
    assert multiplications(model, SHAPE) > 0  # what a study plans with all the same


@pytest.mark.parametrize("name", ["squared", "gated", "linear upsampling"])
def test_an_ann_may_change_its_activations(name: str) -> None:
    change, features, extra, _ = REFUSED[name]
    synapses = wiring(trace(Changed(change, features, *extra)), SHAPE).synapses
    # the convolution's 10·10 places inside the image, times 2 channels in and 4 out
    assert [s.operations for s in synapses] == [100 * 8, features * 3]
