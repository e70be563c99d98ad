"""Norms over tokens, names that are taken, poolings with indices, calibration of another kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import direct
from compare.sweep import folded
from conversion import convert
from network.fixed import NotFixedPoint, fixed_point
from network.fixed.static import static_values
from network.graph import UnsupportedNetwork, trace

SHAPE = (3, 8, 8)


class Tokens(nn.Module):
    """Batch norm over three tokens, behind a linear layer with three features."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(64, 3)
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(9, 5)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(F.relu(self.norm(self.mix(x.flatten(2)))).flatten(1))
        return result


class Calls(nn.Module):
    """Layers of the user's where ours are stored otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = nn.ModuleDict({"relu": nn.Conv2d(3, 6, 3), "c": nn.Linear(216, 5)})
        self.output = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.calls["c"](self.output(F.relu(self.calls["relu"](x))).flatten(1))
        return result


class Called(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = nn.Conv2d(3, 6, 3)
        self.head = nn.Linear(216, 5)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(F.relu(self.calls(x)).flatten(1))
        return result


class Indices(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.head = nn.Linear(36, 5)

    def forward(self, x: Tensor) -> Tensor:
        pooled, _ = self.pool(F.relu(self.conv(x)))
        result: Tensor = self.head(pooled.flatten(1))
        return result


def made(kind: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.normal_(0.0, 0.3)
                module.running_var.uniform_(0.3, 2.0)
                module.weight.data.uniform_(0.5, 1.5)
    return model


def images(count: int = 4) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", [Tokens, Calls, Called])
def test_conversion_comes_close_to_the_network(kind: type[nn.Module]) -> None:
    model, x = made(kind).eval(), images()
    names = [name for name, _ in model.named_modules()]
    network = convert(model, x, method="data-norm").network
    with torch.no_grad():
        scores, expected = network(x, 256), model(x)
    assert float((scores[-1] - expected).abs().max()) < 0.03 * float(expected.abs().max())
    assert [name for name, _ in model.named_modules()] == names


@pytest.mark.parametrize("kind", [Tokens, Calls, Called])
def test_direct_training_folds_what_it_trained(kind: type[nn.Module]) -> None:
    x = images()
    trained = direct.prepare(
        made(kind), rule="bptt", timesteps=3, images=x, labels=torch.arange(4)
    ).finish()
    trained.eval()
    with torch.no_grad():
        torch.testing.assert_close(folded(trained)(x, 3), trained(x, 3), rtol=1e-4, atol=1e-5)


class Sequences(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 6, 3)
        self.head = nn.Linear(6 * 62, 5)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(F.relu(self.conv(x.flatten(2))).flatten(1))
        return result


@pytest.mark.parametrize("kind", [Tokens, Sequences])
def test_neurons_of_tokens_are_not_run_in_whole_numbers(kind: type[nn.Module]) -> None:
    """The kernels know layers of features and of maps; anything else runs in float32."""
    network = convert(made(kind), images(), method="data-norm").network
    with pytest.raises(NotFixedPoint, match=r"is no layer \[B, F\] and no maps"):
        fixed_point(network, SHAPE, 16)


def test_the_bias_of_a_linear_layer_belongs_to_features() -> None:
    layer, x = made(lambda: nn.Linear(64, 5)), images().flatten(2)
    body = trace(nn.Sequential(layer))
    found = static_values(body, list(body.graph.nodes)[:-1], x)
    with torch.no_grad():
        torch.testing.assert_close(found["_0"].float(), layer(x), rtol=1e-4, atol=1e-5)


def test_pooling_with_indices_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedNetwork, match=r"pool \(MaxPool2d\) .* without return_indices"):
        convert(made(Indices), images(), method="data-norm")


CALIBRATION = [
    (DataLoader(TensorDataset(torch.zeros(8, *SHAPE)), 4), "a list of such, got DataLoader"),
    (np.zeros((2, *SHAPE), np.float32), "a list of such, got ndarray"),
    ([np.zeros((2, *SHAPE), np.float32)], "a list of such, got list of ndarray"),
    (torch.zeros(SHAPE), r"in batches \[N, C, H, W\]; with \(3, 8, 8\) it raises RuntimeError"),
    (torch.zeros(2, 3, 9, 9), r"with \(2, 3, 9, 9\) it raises RuntimeError"),
]


@pytest.mark.parametrize(("calibration", "words"), CALIBRATION)
def test_calibration_of_another_kind_is_one_line(calibration: object, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        convert(made(Calls), calibration, method="data-norm")  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
