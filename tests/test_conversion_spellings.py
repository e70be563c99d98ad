"""One network, spelled in torch's many ways: concatenation, and scaling of pixels."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import convert
from network.graph import UnsupportedNetwork
from tests.small_networks import images


class Joined(nn.Module):
    """Max pooling behind a concatenation, spelled in one of torch's ways."""

    def __init__(self, join: Callable[[list[Tensor]], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.left, self.right = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 3, 3)
        self.join, self.pool, self.head = join, nn.MaxPool2d(2), nn.Linear(45, 3)

    def forward(self, x: Tensor) -> Tensor:
        parts = [F.relu(self.left(x)), F.relu(self.right(x))]
        return self.head(self.pool(self.join(parts)).flatten(1))


@pytest.mark.parametrize(
    "join",
    [
        lambda parts: torch.cat(tensors=parts, dim=1),
        lambda parts: torch.cat(parts, axis=1),
        lambda parts: torch.concat(tensors=parts, dim=-3),
        lambda parts: torch.concatenate(parts, 1),
    ],
)
def test_concatenation_is_known_however_it_is_spelled(
    join: Callable[[list[Tensor]], Tensor],
) -> None:
    x = images(6)
    plain = convert(Joined(lambda parts: torch.cat(parts, 1)), x, method="data-norm")
    found = convert(Joined(join), x, method="data-norm")
    with torch.no_grad():
        assert torch.equal(found.network(x, 9), plain.network(x, 9))


class Scaled(nn.Module):
    """Pixels scaled by one of many spellings."""

    def __init__(self, scale: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.scale, self.head = scale, nn.Linear(6, 3)
        self.body, self.m = nn.Linear(12, 6), nn.Parameter(torch.tensor([0.5, 0.4, 0.3]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.body(self.scale(x, self.m).flatten(1))))


@pytest.mark.parametrize(
    "scale",
    [
        lambda x, m: x.sub(0.5).div(0.5),
        lambda x, m: -x.mul(2),
        lambda x, m: x - m.view(1, -1, 1, 1),
        lambda x, m: x * (1 / m).view(1, -1, 1, 1),
    ],
)
@pytest.mark.parametrize("method", ["data-norm", "model-norm"])
def test_scaling_of_pixels_is_known_however_it_is_spelled(
    scale: Callable[[Tensor, Tensor], Tensor], method: str
) -> None:
    model, x = Scaled(scale).eval(), torch.rand(8, 3, 2, 2)
    network = convert(model, x, method=method).network
    with torch.no_grad():
        torch.testing.assert_close(network(x, 4000)[-1], model(x), atol=2e-2, rtol=0)


def test_an_activation_divided_by_is_refused() -> None:
    with pytest.raises(UnsupportedNetwork, match="cannot become spiking"):
        convert(Scaled(lambda x, m: 1 / (x + 1)), torch.rand(4, 3, 2, 2), method="data-norm")
