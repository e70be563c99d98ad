"""First weights of short trainings: whitening of patches, and layers that hand on their input."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from network.architectures import build
from network.start import FLOOR, StartError, fix_scales, pass_through, whiten
from tests.geometries import CIFAR


def correlated(images: int = 64) -> Tensor:
    """Smooth images, whose neighbouring pixels and channels agree."""
    noise = torch.randn(images, 3, 12, 12, generator=torch.Generator().manual_seed(3))
    mixed = torch.einsum(
        "dc,bchw->bdhw", torch.tensor([[1.0, 0.4, 0], [0, 1, 0.4], [0.5, 0, 1]]), noise
    )
    return F.avg_pool2d(mixed, 3, stride=1)


def test_what_comes_out_of_the_first_layer_is_uncorrelated() -> None:
    images = correlated()
    network = nn.Sequential(nn.Conv2d(3, 20, 3, padding=1, bias=False), nn.ReLU())
    whiten(network, images)
    weights = network[0].weight
    assert torch.equal(weights[10:], -weights[:10])
    seen = F.conv2d(images, weights[:10]).transpose(0, 1).flatten(1)
    spread = torch.cov(seen.double())
    # an eigenvector over the root of its variance, a little less where there is hardly any
    assert torch.allclose(spread, torch.diag(spread.diag()), atol=1e-4)
    assert (spread.diag() <= 1 + 1e-4).all()
    assert spread[0, 0] > 0.999
    assert (spread.diag().diff() <= 1e-6).all(), "the largest variance comes first"


def test_an_odd_number_of_channels_and_few_values_are_whitened_too() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 3, bias=False))
    whiten(network, torch.zeros(4, 3, 8, 8))  # no variance at all: held finite by the floor
    weights = network[0].weight
    assert torch.equal(weights[3:], -weights[:2])
    assert torch.allclose(weights.flatten(1).norm(dim=1), torch.full((5,), FLOOR**-0.5))


def test_a_whitening_is_not_trained() -> None:
    network = build("airbench", CIFAR, width=0.25, seed=0)
    whiten(network, torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    frozen = [name for name, p in network.named_parameters() if not p.requires_grad]
    assert frozen == ["conv1.weight"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), "got Linear"),
        (lambda: nn.Sequential(nn.Conv2d(3, 6, 3, groups=3)), "got Conv2d"),
        (lambda: nn.Sequential(nn.Conv2d(6, 4, 3)), "got Conv2d"),
        (lambda: nn.Sequential(nn.ReLU()), "no layer with weights"),
        (lambda: nn.Sequential(nn.Conv2d(3, 64, 3)), "at most 54 channels.*got 64"),
    ],
)
def test_what_cannot_be_whitened_is_said_in_one_line(
    make: Callable[[], nn.Module], said: str
) -> None:
    with pytest.raises(StartError, match=said):
        whiten(make(), torch.zeros(2, 3, 8, 8))


@pytest.mark.parametrize("kernel", [3, 5])
def test_an_odd_window_hands_on_its_middle(kernel: int) -> None:
    layer = nn.Conv2d(2, 4, kernel, padding=kernel // 2, bias=False)
    kept = layer.weight[2:].clone()
    pass_through(nn.Sequential(nn.Conv2d(3, 2, 3), layer))
    x = torch.randn(1, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(layer(x)[:, :2], x)
    assert torch.equal(layer.weight[2:], kept)


def test_an_even_window_hands_on_the_mean_of_its_middle() -> None:
    layer = nn.Conv2d(4, 2, 4, stride=2, padding=1, bias=False)
    pass_through(nn.Sequential(nn.Conv2d(3, 4, 3), layer))
    x = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(layer(x), F.avg_pool2d(x, 2)[:, :2], atol=1e-6)


def test_the_first_layer_and_grouped_ones_keep_their_weights() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 4, 1))
    before = [layer.weight.clone() for layer in network]
    pass_through(network)
    assert torch.equal(network[0].weight, before[0])
    assert torch.equal(network[1].weight, before[1])
    assert torch.equal(network[2].weight[:, :, 0, 0], torch.eye(4))


@pytest.mark.parametrize("hidden", [nn.Linear(4, 4), nn.Conv2d(4, 4, 3, groups=4)])
def test_where_nothing_can_be_handed_on_it_is_said(hidden: nn.Module) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), hidden)
    with pytest.raises(StartError, match="identity = true needs a plain convolution"):
        pass_through(network)


def test_scales_of_batch_norm_are_fixed_and_nothing_else() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    fix_scales(network)
    fixed = [name for name, p in network.named_parameters() if not p.requires_grad]
    assert fixed == ["1.weight"]


@pytest.mark.parametrize("norm", [nn.Identity(), nn.BatchNorm2d(4, affine=False)])
def test_scales_that_are_not_there_cannot_be_fixed(norm: nn.Module) -> None:
    with pytest.raises(StartError, match="needs batch norm with a scale, got none"):
        fix_scales(nn.Sequential(nn.Conv2d(3, 4, 3), norm))
