"""Average pooling as a sum, and the sizes of layers that layers.csv has, worked by hand."""

import pytest
import torch
from torch import Tensor, nn

from network.functional import GlobalAverage
from network.graph import swap_activations, trace
from network.neurons import Neuron
from network.wiring import wiring
from tests.test_activity import swap_names


def fan_out_of(*layers: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """Synapses that one spike of neurons in front of these layers drives."""
    body = trace(nn.Sequential(nn.ReLU(), *layers))
    swap_activations(body, lambda name, activation: Neuron())
    (counts,) = wiring(body, shape).fan_out[swap_names(body)[0]].values()
    return counts


def test_a_spike_in_front_of_larger_adaptive_pooling_reaches_every_output() -> None:
    """One place becomes 7×7, each read by 10 classes."""
    layers = nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(49, 10)
    assert fan_out_of(*layers, shape=(1, 1, 1)).tolist() == [[[490.0]]]


def test_windows_of_adaptive_pooling_may_overlap() -> None:
    """7 to 3 places: 0 to 2, 2 to 4 and 4 to 6; 2 and 4 are read twice; 2 classes."""
    line = torch.tensor([2.0, 2, 4, 2, 4, 2, 2], dtype=torch.float64)
    counts = fan_out_of(
        nn.AdaptiveAvgPool1d(3), nn.Flatten(), nn.Linear(3, 2, bias=False), shape=(1, 7)
    )
    assert torch.equal(counts, line[None])
    counts = fan_out_of(
        nn.AdaptiveAvgPool2d((3, None)), nn.Flatten(), nn.Linear(6, 2), shape=(1, 7, 2)
    )
    assert torch.equal(counts, line[:, None].expand(1, 7, 2))


def test_adaptive_windows_may_differ_in_size() -> None:
    """5 to 2 is 0 to 2 and 2 to 4; 4 to 3 is 0 to 1, 1 to 2 and 2 to 3."""
    rows, columns = torch.tensor([1.0, 1, 2, 1, 1]), torch.tensor([1.0, 2, 2, 1])
    counts = fan_out_of(
        nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten(), nn.Linear(6, 1), shape=(1, 5, 4)
    )
    assert torch.equal(counts[0], torch.outer(rows, columns).double())


@pytest.mark.parametrize(
    ("pool", "counts"),
    [
        ((3, 1), [2.0, 4, 6, 6, 6, 4, 2]),
        ((2, 2), [2.0, 2, 2, 2, 2, 2, 0]),
        ((3, 2, 1), [2.0, 4, 2, 4, 2, 4, 2]),
        ((2, 2, 0, True, False), [2.0, 2, 2, 2, 2, 2, 2]),
    ],
)
def test_pooling_along_a_line_counts_as_on_a_map_of_one_row(pool, counts) -> None:
    """Each spike drives 2 synapses for each window that it lies in, and no border divides."""
    kernel, stride, padding, *rest = (*pool, 0)[:3] + pool[3:]
    line = nn.AvgPool1d(kernel, stride, padding, *rest)
    row = nn.AvgPool2d((1, kernel), (1, stride), (0, padding), *rest)
    head = nn.Linear(line(torch.zeros(1, 1, 7)).numel(), 2)
    assert fan_out_of(line, nn.Flatten(), head, shape=(1, 7)).tolist() == [counts]
    assert fan_out_of(row, nn.Flatten(), head, shape=(1, 1, 7)).tolist() == [[counts]]


GEOMETRIES = [
    (nn.Conv1d(16, 8, 3, stride=2), (16, 21), (16, 8, 1, 3, 2, 1, 10, 1)),
    (nn.Conv1d(4, 8, 5, padding=2, groups=2), (4, 9), (2, 8, 1, 5, 1, 1, 9, 2)),
    (nn.Conv2d(4, 8, (3, 2), stride=2, groups=4), (4, 9, 8), (1, 8, 3, 2, 2, 4, 4, 4)),
    (nn.Conv3d(2, 3, (2, 3, 4)), (2, 5, 5, 5), (2, 3, 6, 4, 1, 12, 2, 1)),
    (nn.Linear(6, 5), (6,), (6, 5, 1, 1, 1, 1, 1, 1)),
    (nn.Linear(6, 5), (7, 6), (6, 5, 1, 1, 1, 1, 7, 1)),
    (nn.Linear(6, 5), (2, 3, 6), (6, 5, 1, 1, 1, 1, 6, 1)),
]


@pytest.mark.parametrize(("layer", "shape", "sizes"), GEOMETRIES)
def test_geometry_of_a_layer(layer: nn.Module, shape, sizes) -> None:
    """Channels in (of a group) and out, kernel, stride, map and groups, as layers.csv has them."""
    body = trace(nn.Sequential(nn.ReLU(), layer))
    (synapse,) = wiring(body, shape).synapses
    names = (
        "in_channels", "out_channels", "kernel_height", "kernel_width", "stride", "out_height",
        "out_width", "groups",
    )  # fmt: skip
    assert synapse.geometry == dict(zip(names, sizes, strict=True))


POOLS = [
    (nn.AvgPool2d((3, 2), stride=1), (4, 5, 5), (1, 4, 3, 2, 1, 3, 4, 4)),
    (nn.AvgPool1d(3), (4, 9), (1, 4, 1, 3, 3, 1, 3, 4)),
    (GlobalAverage(), (4, 5, 5), (1, 4, 1, 1, 1, 1, 1, 4)),
]


@pytest.mark.parametrize(("pool", "shape", "sizes"), POOLS)
def test_geometry_of_a_layer_of_pooling_neurons(pool: nn.Module, shape, sizes) -> None:
    """Every channel is a group of its own."""
    body = trace(nn.Sequential(nn.ReLU(), pool, nn.ReLU()))
    roles = iter(("hidden", "pooling"))
    swap_activations(body, lambda name, activation: Neuron(role=next(roles)))
    (synapse,) = wiring(body, shape).synapses
    assert tuple(synapse.geometry.values()) == sizes
