"""What is followed of a forward pass: the branch of eval mode, one input, the user's line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import direct
from compare.sweep import folded
from conversion import quantise_activations
from network.graph import Kind, layers, trace

SHAPE = (3, 6, 6)


class Net(nn.Module):
    """A convolution, a function of the network and its output, and a linear layer."""

    def __init__(self, between: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bias = nn.Parameter(torch.linspace(-0.2, 0.2, 4))
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(64, 5)
        self.unregistered = [nn.ReLU(), nn.Conv2d(4, 4, 1)]
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.between(self, self.conv(x)).flatten(1))
        return result


def net(between: Callable[[Any, Tensor], Tensor]) -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net(between)


def images(count: int = 4) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1))


def noisy(model: Any, h: Tensor) -> Tensor:
    if model.training:
        h = h + torch.randn_like(h)
    return F.relu(h)


def test_a_branch_of_training_does_not_run_at_inference() -> None:
    x = images()
    trained = direct.prepare(
        net(noisy).train(), rule="bptt", timesteps=3, images=x, labels=torch.arange(4)
    )
    network = folded(trained.finish())
    with torch.no_grad():
        assert torch.equal(network(x, 3), network(x, 3))
    quantised = quantise_activations(net(noisy)).eval()
    assert torch.equal(quantised(x), quantised(x))


def dropped(model: Any, h: Tensor) -> Tensor:
    h = F.relu(h)
    if model.training:
        h = model.drop(F.dropout(h, 0.3))
    return h


def test_dropout_in_a_branch_of_training_follows_its_mode() -> None:
    body = trace(net(dropped).train())
    assert len(list(layers(body, Kind.DROPOUT))) == 2
    x = images()
    assert not torch.equal(body(x), body(x))
    torch.testing.assert_close(body.eval()(x), net(dropped).eval()(x))


def test_tracing_leaves_every_module_in_its_mode() -> None:
    model = net(noisy).train()
    model.drop.eval()
    trace(model)
    assert model.training
    assert model.conv.training
    assert not model.drop.training
