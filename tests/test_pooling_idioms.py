"""Ways of writing pooling, splitting and casting that are exact: they convert, count and train."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import convert
from conversion.export import load_plain, save_plain
from direct import prepare
from network.graph import UnsupportedNetwork, swap_activations, trace
from network.neurons import Neuron
from network.wiring import wiring

Pool = Callable[[Tensor], Tensor]


def swapped_halves(x: Tensor) -> Tensor:
    a, b = x.chunk(2, 1)
    c, d = torch.split(x, 3, dim=1)
    return torch.cat([b, a, d, c], 1)


MAPS: dict[str, tuple[Pool, int, float]] = {  # numbers that the head reads, synapses of a spike
    "side": (lambda x: F.avg_pool2d(x, x.size()[3]), 6, 5.0),
    "size(2)": (lambda x: F.avg_pool2d(x, x.size(2)), 6, 5.0),
    "sides": (lambda x: F.avg_pool2d(x, x.size()[2:]), 6, 5.0),
    "both": (lambda x: F.avg_pool2d(x, kernel_size=(x.shape[-2], x.shape[-1])), 6, 5.0),
    "means": (lambda x: x.mean(-1).mean(-1), 6, 5.0),
    "flat mean": (lambda x: x.flatten(2).mean(-1), 6, 5.0),
    "float": (lambda x: x.float(), 216, 5.0),
    "halves": (swapped_halves, 432, 10.0),
}
MAXIMA: dict[str, Pool] = {
    "amax": lambda x: x.amax((2, 3)),
    "adaptive": lambda x: F.adaptive_max_pool2d(x, 1),
}
LINES: dict[str, tuple[Pool, int]] = {
    "average": (lambda x: F.avg_pool1d(x, 2), 18),
    "maximum": (lambda x: F.max_pool1d(x, 2), 18),
    "whole": (lambda x: F.adaptive_avg_pool1d(x, 1), 6),
}


class Pooled(nn.Module):
    """A convolution, neurons, a pooling and a linear layer."""

    def __init__(self, conv: nn.Module, pool: Pool, features: int) -> None:
        super().__init__()
        self.conv, self.relu, self.pool = conv, nn.ReLU(), pool
        self.fc = nn.Linear(features, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.pool(self.relu(self.conv(x))).flatten(1))
        return out


def network(pool: Pool, features: int, line: bool = False) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    conv: nn.Module = nn.Conv1d(3, 6, 3) if line else nn.Conv2d(3, 6, 3)
    shape = (6, 3, 8) if line else (6, 3, 8, 8)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    return Pooled(conv, pool, features).eval(), images


def check(model: nn.Module, images: Tensor, folder: Path) -> None:
    """It converts to what it computes, is written down, and trains directly."""
    spiking = convert(model, images, method="data-norm").network
    with torch.no_grad():
        scores = spiking(images, 256)
        torch.testing.assert_close(scores[-1], model(images), atol=0.05, rtol=0.05)
        save_plain(spiking, folder)
        assert torch.equal(load_plain(folder)(images, 4), spiking(images, 4))
    labels = torch.arange(6) % 5
    trainable = prepare(model, rule="bptt", timesteps=3, images=images, labels=labels)
    trainable.objective(images, labels, torch.arange(6))[0].backward()
    assert all(p.grad is not None for p in trainable.network.parameters())


@pytest.mark.parametrize("name", MAPS)
def test_maps(name: str, tmp_path: Path) -> None:
    pool, features, synapses = MAPS[name]
    model, images = network(pool, features)
    check(model, images, tmp_path)
    body = trace(model)
    swap_activations(body, lambda name, activation: Neuron())
    fan_out = wiring(body, (3, 8, 8)).fan_out["relu"]
    assert {t: fan.unique().tolist() for t, fan in fan_out.items()} == {"fc": [synapses]}


@pytest.mark.parametrize("name", MAXIMA)
def test_maxima(name: str, tmp_path: Path) -> None:
    check(*network(MAXIMA[name], 6), tmp_path)


@pytest.mark.parametrize("name", LINES)
def test_lines(name: str, tmp_path: Path) -> None:
    check(*network(*LINES[name], line=True), tmp_path)


def test_what_stays_refused_says_what_to_write() -> None:
    model, images = network(lambda x: x, 216)
    weight = torch.ones(4, 6, 1, 1)
    model.pool = lambda x: F.conv2d(x, weight)
    with pytest.raises(UnsupportedNetwork, match=r"conv2d is not among .*: write it as nn\.Conv2d"):
        convert(model, images, method="data-norm")
    oblong = trace(network(MAPS["side"][0], 6)[0])
    with pytest.raises(ValueError, match="needs square maps, got 4 by 6"):
        oblong(torch.zeros(1, 3, 6, 8))
    model.pool = lambda x: torch.cat(x.chunk(2), 1)  # over the images
    with pytest.raises(UnsupportedNetwork, match="chunk is not among"):
        convert(model, images, method="data-norm")
