"""Which layer takes a batch norm in: never one whose output others read, nor over another axis."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion.convert import prepare_ann
from conversion.folding import PerFeature

SHAPE = (3, 8, 4)
View = Callable[[Tensor], Tensor]


def check(model: nn.Module, diagonal: int = 0, shape: tuple[int, ...] = SHAPE) -> None:
    """Folded, the network computes what it did; so many norms stand on their own."""
    generator = torch.Generator().manual_seed(0)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.running_mean.uniform_(-1, 1, generator=generator)
            norm.running_var.uniform_(0.5, 2, generator=generator)
            norm.weight.data.uniform_(0.5, 2, generator=generator)
            norm.bias.data.uniform_(-1, 1, generator=generator)
    model.eval()
    body, folded, notes = prepare_ann(model)
    assert len(folded) == 1 - diagonal
    assert sum("now one of its own" in note for note in notes) == diagonal
    x = torch.randn(5, *shape, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(body(x), model(x), rtol=1e-4, atol=1e-5)
    own = [m for m in body.modules() if isinstance(m, PerFeature) or _is_depthwise(m)]
    assert len(own) == diagonal


def _is_depthwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1


class Pooled(nn.Module):
    """A norm behind max pooling; the pooled map, or the map before it, is read by others too."""

    def __init__(self, fork: str) -> None:
        super().__init__()
        self.fork = fork
        self.conv, self.pool, self.norm = nn.Conv2d(3, 4, 1), nn.MaxPool2d(2), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        before = self.conv(x)
        pooled = self.pool(before)
        summed = F.relu(self.norm(pooled)).mean((2, 3))
        if self.fork != "none":
            summed = summed + F.relu(pooled if self.fork == "pooled" else before).mean((2, 3))
        result: Tensor = self.head(summed)
        return result


@pytest.mark.parametrize(("fork", "diagonal"), [("none", 0), ("pooled", 1), ("before", 1)])
def test_a_norm_goes_into_a_layer_behind_which_nobody_else_reads(fork: str, diagonal: int) -> None:
    check(Pooled(fork), diagonal)


class Tokens(nn.Module):
    """Batch norm over n tokens [B, n, features], behind a linear layer."""

    def __init__(self, view: View, tokens: int = 6, features: int = 6) -> None:
        super().__init__()
        self.view, self.conv = view, nn.Conv2d(3, 6, 1)
        self.mix, self.norm = nn.Linear(8, features), nn.BatchNorm1d(tokens)
        self.head = nn.Linear(tokens * features, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(self.mix(self.view(self.conv(x))))
        result: Tensor = self.head(F.relu(tokens).flatten(1))
        return result


VIEWS: dict[str, View] = {
    "view": lambda x: x[..., 0].view(x.size(0), 6, -1),
    "sizes in a tuple": lambda x: x[..., 0].reshape((x.shape[0], 6, 8)),
    "flattened": lambda x: x[..., 0].view(x.size(0), 6, 2, 4).flatten(2),
    "unflattened": lambda x: x[..., 0].flatten(1).unflatten(1, (6, 8)),
    "a place": lambda x: x[:, :, :, 0],
    "mean": lambda x: x.mean(3),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_norm_over_tokens_goes_into_no_linear_layer_of_as_many_features(name: str) -> None:
    """Its axis is that of the tokens, the layer's outputs are another."""
    check(Tokens(VIEWS[name]), diagonal=1)


def test_nor_into_one_of_other_features() -> None:
    check(Tokens(VIEWS["view"], features=5), diagonal=1)
    model = nn.Sequential(
        nn.Linear(8, 5), nn.BatchNorm1d(6), nn.ReLU(), nn.Flatten(), nn.Linear(30, 2)
    )
    check(model, diagonal=1, shape=(6, 8))  # the images are tokens themselves


class Columns(nn.Module):
    """Batch norm over 3 channels, behind a linear layer along the columns with 3 outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.norm, self.head = nn.Linear(4, 3), nn.BatchNorm2d(3), nn.Linear(72, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(F.relu(self.norm(self.mix(x))).flatten(1))
        return result


def test_a_norm_over_channels_goes_into_no_linear_layer_along_the_columns() -> None:
    check(Columns(), diagonal=1)


class Flat(nn.Module):
    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view
        self.fc, self.norm, self.head = nn.Linear(96, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(F.relu(self.norm(self.fc(self.view(x)))))
        return result


FLAT: dict[str, View] = {
    "flatten": lambda x: x.flatten(1),
    "view": lambda x: x.view(x.size(0), 96),
    "rest": lambda x: x.view(x.size(0), -1),
    "reshape": lambda x: x.reshape(-1, 96),
    "twice": lambda x: x.flatten(2).flatten(1),
}


@pytest.mark.parametrize("name", FLAT)
def test_a_norm_over_features_goes_into_their_linear_layer(name: str) -> None:
    check(Flat(FLAT[name]))
