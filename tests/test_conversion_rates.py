"""Mean outputs of a run, after any number of its steps; an ANN with some outputs given."""

import pytest
import torch
from torch import Tensor, nn

from conversion import convert
from conversion.rates import MeanOutput, Replay, mean_outputs, mean_outputs_at
from conversion.statistics import activations
from network.encodings import image_keys
from network.graph import trace
from network.neurons import NeuronState
from tests.small_networks import images, network

KEYS = image_keys(0, torch.arange(4))


def test_means_are_over_the_first_steps_wherever_a_chunk_ends() -> None:
    """A neuron that fires at steps 1, 2 and 4 of 5, in chunks of three and two."""
    tap, spikes = MeanOutput([1, 2, 3, 4, 5]), torch.tensor([2.0, 2, 0, 2, 0]).view(5, 1, 1)
    state = NeuronState(torch.zeros(1, 1))
    for first, part in ((0, spikes[:3]), (3, spikes[3:])):
        tap.neurons("a", first, part, part, state)
    means = [tap.means[steps]["a"].item() for steps in range(1, 6)]
    assert means == pytest.approx([2.0, 2.0, 4 / 3, 6 / 4, 6 / 5])


def test_one_run_has_the_means_of_every_shorter_one() -> None:
    net = convert(network("plain"), images(8), method="data-norm").network
    several = mean_outputs_at(net, images(4), KEYS, [7, 2, 3])
    for steps in (7, 2, 3):
        for name, mean in mean_outputs(net, images(4), KEYS, steps).items():
            assert torch.equal(several[steps][name], mean)


def test_what_is_given_takes_the_place_of_an_output() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1), nn.ReLU())
    with torch.no_grad():
        model[2].weight.copy_(torch.tensor([[2.0, 3.0]]))
        model[2].bias.fill_(1.0)
    body, x = trace(model), torch.rand(1, 2)
    first, second = activations(body, x)

    def current(given: dict[str, Tensor]) -> float:
        return Replay(body, given, second).current(x).item()

    assert current({first: torch.tensor([[1.0, 10.0]])}) == 2 + 30 + 1
    assert current({}) == pytest.approx(model[:3](x).item())
