"""Batch norm goes into the layer in front of it, or becomes one of its own."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import convert
from conversion.convert import prepare_ann
from conversion.folding import PerFeature
from network.graph import UnsupportedNetwork
from tests.small_networks import images


def test_a_norm_without_statistics_is_refused() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU()
    )
    with pytest.raises(UnsupportedNetwork, match=r"1 \(BatchNorm2d\) keeps no running statistics"):
        convert(model, images(2), method="data-norm")


def test_a_layer_called_twice_is_folded_once_per_call() -> None:
    """y = norm(f(f(x))) with f(x) = 2x + 1, norm: scale 3, shift 5 (mean 0, variance 1, eps 0).

    x = 1: f = 3, f(f) = 7, norm: 7·3 + 5 = 26. Only the second call may be scaled.
    """

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.f = nn.Linear(1, 1)
            self.norm = nn.BatchNorm1d(1, eps=0.0)
            self.relu = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.relu(self.norm(self.f(self.f(x))))

    model = Twice().eval()
    with torch.no_grad():
        model.f.weight.fill_(2.0)
        model.f.bias.fill_(1.0)
        model.norm.weight.fill_(3.0)
        model.norm.bias.fill_(5.0)
    body, folded, _ = prepare_ann(model)
    assert folded == ("norm",)
    assert body(torch.ones(1, 1)).item() == 26.0
    assert model.f.weight.item() == 2.0


def test_a_layer_that_others_read_too_is_copied_for_its_norm() -> None:
    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.f = nn.Linear(4, 4)
            self.norm = nn.BatchNorm1d(4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.f(x)
            return F.relu(y) + F.relu(self.norm(y))

    torch.manual_seed(0)
    model = Forked().eval()
    model.norm.running_mean.uniform_(-1, 1)
    body, folded, notes = prepare_ann(model)
    assert folded == ("norm",)
    assert notes == ("f: computed twice, with norm in it and without",)
    x = torch.randn(5, 4)
    torch.testing.assert_close(body(x), model(x))


def test_a_norm_with_nothing_to_fold_into_becomes_a_diagonal_synapse() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.BatchNorm1d(6), nn.ReLU(), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2)
    ).eval()
    for norm in (model[0], model[2]):
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
    body, folded, notes = prepare_ann(model)
    assert folded == ()
    assert notes == tuple(
        f"{n}: batch norm with no layer to go into, now one of its own" for n in "02"
    )
    assert sum(isinstance(m, PerFeature) for m in body.modules()) == 2
    x = torch.randn(5, 6)
    torch.testing.assert_close(body(x), model(x))


def test_a_norm_behind_means_over_positions_is_folded() -> None:
    class Means(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc, self.norm = nn.Conv2d(3, 4, 3), nn.Linear(4, 5), nn.BatchNorm1d(5)
            self.out = nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.conv(x)).flatten(2).mean(-1)
            out: Tensor = self.out(F.relu(self.norm(self.fc(x))))
            return out

    torch.manual_seed(0)
    model = Means().eval()
    model.norm.running_mean.uniform_(-1, 1)
    body, folded, notes = prepare_ann(model)
    assert (folded, notes) == (("norm",), ())
    x = torch.randn(5, 3, 8, 8)
    torch.testing.assert_close(body(x), model(x))
