"""Multiplication by a number behind a layer goes into its weights."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import convert
from network.fixed import fixed_point
from network.graph import UnsupportedNetwork

Step = Callable[[Tensor], Tensor]


class Scaled(nn.Module):
    """A number behind the norm of the first layer, and one behind the scores."""

    def __init__(self, hidden: Step, scores: Step, *, affine: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=affine)
        self.last, self.hidden, self.scores = nn.Linear(144, 5), hidden, scores
        self.norm.running_mean.uniform_(-0.2, 0.2)
        self.norm.running_var.uniform_(0.5, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.hidden(self.norm(self.first(x))))
        return self.scores(self.last(h.flatten(1)))


def images() -> Tensor:
    return torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("hidden", "scores"),
    [
        (lambda z: z * 0.5, lambda s: s / 10),
        (lambda z: 2 * z, lambda s: torch.div(s, 4.0)),
        (lambda z: z.mul(3), lambda s: s * 0),
        (lambda z: z / -2, lambda s: s.mul_(0.1)),
    ],
)
@torch.no_grad()
def test_the_scores_are_those_of_the_network(hidden: Step, scores: Step, affine: bool) -> None:
    model = Scaled(hidden, scores, affine=affine).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    converted = convert(model, images(), method="data-norm").network
    expected = model(images())
    distance = (converted(images(), 512)[-1] - expected).abs().max()
    assert distance <= 0.01 * max(1e-6, float(expected.abs().max()))
    fixed_point(converted, (3, 8, 8), 24)  # the numbers are in the weights: exact there too
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("scores", [lambda s: s + s * 0.5, lambda s: 1 / s, lambda s: s * True])
def test_what_is_no_plain_multiplication_is_refused(scores: Step) -> None:
    with pytest.raises(UnsupportedNetwork, match="cannot become spiking"):
        convert(Scaled(lambda z: z, scores).eval(), images(), method="data-norm")
