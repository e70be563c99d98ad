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
from network.sizes import (
    are_sides_of,
    holds_number_of_images,
    is_number_of_images,
    is_side_of,
    is_size,
)
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


class Sizes:
    """Ways of asking for the sizes of a value x, and of another one."""

    def __init__(self) -> None:
        self.graph = fx.Graph()
        self.x, self.other = self.graph.placeholder("x"), self.graph.placeholder("other")

    def size(self, *axes: int, of: fx.Node | None = None, **named: int) -> fx.Node:
        return self.graph.call_method("size", (of or self.x, *axes), named)

    def item(self, place: object, of: fx.Node | None = None) -> fx.Node:
        shape = self.graph.call_function(getattr, (of or self.x, "shape"))
        return self.graph.call_function(operator.getitem, (shape, place))


def test_the_number_of_images_is_the_first_size_alone() -> None:
    s = Sizes()
    assert all(map(is_number_of_images, (s.size(0), s.size(dim=0), s.item(0))))
    part = s.graph.call_function(operator.getitem, (s.item(slice(1, None)), 0))
    others = (s.size(1), s.size(dim=1), s.size(), s.item(1), s.item(slice(0, None)), part, 4, s.x)
    assert not any(map(is_number_of_images, others))


def test_the_sides_of_a_map_are_its_height_and_width_in_this_order() -> None:
    s = Sizes()
    height, width = (s.size(2), s.item(-2)), (s.size(3), s.item(-1))
    assert all(are_sides_of(pair, s.x) for pair in zip(height, width, strict=True))
    assert all(are_sides_of(s.item(slice(start, None)), s.x) for start in (2, -2))
    for wrong in (
        (height[0], height[1]), (width[0], height[0]), (s.size(1), width[0]), height[:1], 3,
        s.item(slice(1, None)), s.item(slice(0, None)), s.item(2),
        (s.size(2, of=s.other), width[0]), s.item(slice(2, None), of=s.other),
    ):  # fmt: skip
        assert not are_sides_of(wrong, s.x), wrong
    assert all(is_side_of(side, s.x) for side in (*height, *width))
    assert not any(is_side_of(n, s.x) for n in (s.size(0), s.item(1), s.item(3, of=s.other), 3))


def test_whatever_holds_the_first_size_changes_with_the_images() -> None:
    s = Sizes()
    holding = (s.size(), s.size(0), s.item(0), s.item(slice(None, 2)), s.item(slice(0, 2)))
    assert all(map(holds_number_of_images, holding))
    dims = s.graph.call_method("dim", (s.x,))
    assert not any(map(holds_number_of_images, (s.size(1), s.item(slice(1, 3)), s.item(-1), dims)))


def test_a_number_worked_out_from_a_value_is_no_size() -> None:
    s = Sizes()
    assert is_size(s.graph.call_function(operator.mul, (s.size(2), s.size(3))))
    assert not is_size(s.graph.call_function(operator.mul, (s.size(2), s.x)))


def test_layers_in_front_are_static_beside_a_size() -> None:
    names = {node.name for node in static_nodes(trace(sized(unpacked)))}
    assert "c" in names
