"""A network that reads a size of its input computes and counts as one that does not."""

import operator
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from conversion import convert
from conversion.export import load_plain, save_plain
from network.activity import count_activity
from network.fixed import fixed_point, unroll_fixed
from network.graph import trace
from network.nodes import static_nodes
from network.sizes import holds_number_of_images, is_size
from network.unroll import unroll

SHAPE = (3, 8, 8)
Join = Callable[[Tensor, Tensor], Tensor]


def unpacked(image: Tensor, y: Tensor) -> Tensor:
    b, _, h, w = image.shape
    return y.reshape(b, 6 * (h // 2) * (w // 2))


JOINS: dict[str, Join] = {
    "unpacked": unpacked,
    "size(0), number": lambda image, y: y.view(image.size(0), 96),
    "size(dim=0)": lambda image, y: y.view(image.size(dim=0), 96),
    "shape[0], -1": lambda image, y: y.view(image.shape[0], -1),
    "side only": lambda image, y: y.reshape(-1, 6 * (image.shape[-1] // 2) ** 2),
    "sum of sides": lambda image, y: y.reshape(-1, 6 * (image.size(2) + image.size(3))),
    "three axes": lambda image, y: y.view(image.shape[0], 6, -1).flatten(1),
}


class Sized(nn.Module):
    """Two convolutions and a linear layer, joined in one of the ways."""

    join: Join = staticmethod(lambda image, y: y.flatten(1))

    def __init__(self) -> None:
        super().__init__()
        self.c, self.d = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.fc = nn.Linear(96, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.join(x, F.avg_pool2d(F.relu(self.d(F.relu(self.c(x)))), 2)))
        return out


def sized(join: Join | None = None) -> Sized:
    torch.manual_seed(0)
    model = Sized().eval()
    if join is not None:
        model.join = join
    return model


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", JOINS)
def test_a_size_changes_no_count(name: str, images: Tensor) -> None:
    found = []
    for join in (None, JOINS[name]):
        conversion = convert(sized(join), images, method="data-norm")
        counter = count_activity(conversion.network, SHAPE, 4)
        with torch.no_grad():
            scores = unroll(conversion.network, images, 4, taps=[counter])
        totals = {target: counts.tolist() for target, counts in counter.accumulates.items()}
        layers = [(s.name, s.analogue, s.static) for s in counter.wires.synapses]
        found.append((conversion.audit.analogue, totals, layers, scores.tolist()))
    assert found[0][0] == ("c",)
    assert found[0] == found[1]


@pytest.mark.parametrize("name", JOINS)
def test_a_size_hinders_neither_whole_numbers_nor_the_plain_form(
    name: str, images: Tensor, tmp_path: Path
) -> None:
    network = convert(sized(JOINS[name]), images, method="data-norm").network
    save_plain(network, tmp_path)
    with torch.no_grad():
        assert torch.equal(load_plain(tmp_path)(images, 5), network(images, 5))
    fixed = fixed_point(network, SHAPE, 16)
    with torch.no_grad():
        whole = network.read(unroll_fixed(fixed, images, 8)).float()
        torch.testing.assert_close(whole, network(images, 8), atol=1e-4, rtol=1e-4)


def test_what_is_a_size_and_which_change_with_the_images() -> None:
    graph = fx.Graph()
    x = graph.placeholder("x")
    shape = graph.call_function(getattr, (x, "shape"))
    images = graph.call_function(operator.getitem, (shape, 0))
    sides = graph.call_function(operator.getitem, (shape, slice(2, None)))
    height = graph.call_function(operator.getitem, (sides, 0))
    area = graph.call_function(operator.mul, (height, 3))
    product = graph.call_function(operator.mul, (images, height))
    counted = {node: holds_number_of_images(node) for node in graph.nodes if is_size(node)}
    assert counted == {
        shape: True, images: True, sides: False, height: False, area: False, product: True,
    }  # fmt: skip
    transposed = graph.call_function(getattr, (x, "T"))
    assert not any(map(is_size, (x, transposed, graph.call_function(operator.mul, (x, 2)))))


def test_layers_in_front_are_static_beside_a_size() -> None:
    names = {node.name for node in static_nodes(trace(sized(unpacked)))}
    assert "c" in names
