"""Tracing to the normal form, kinds of nodes, and swapping of activations."""

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from network.functional import ClippedReLU, GlobalAverage
from network.graph import (
    Kind,
    UnsupportedNetwork,
    describe_node,
    kind_of,
    layers,
    replace_module,
    swap_activations,
    trace,
)
from network.neurons import Neuron
from tests.small_networks import NETWORKS, images, network


@pytest.mark.parametrize("name", NETWORKS)
def test_the_normal_form_computes_the_same(name: str) -> None:
    model = network(name)
    body = trace(model)
    x = images(4)
    torch.testing.assert_close(body(x), model(x))
    assert {id(p) for p in body.parameters()} == {id(p) for p in model.parameters()}


@pytest.mark.parametrize("name", NETWORKS)
def test_tracing_twice_keeps_the_names(name: str) -> None:
    once = trace(network(name))
    twice = trace(once)
    assert [n.name for n in once.graph.nodes] == [n.name for n in twice.graph.nodes]
    assert twice.graph is not once.graph
    assert [n.meta.get("path") for n in once.graph.nodes] == [
        n.meta.get("path") for n in twice.graph.nodes
    ]


class Functions(nn.Module):
    """One function, applied to the output of a convolution."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.conv(x))


FUNCTIONS = [
    (F.relu, Kind.ACTIVATION),
    (lambda x: F.relu(x, inplace=True), Kind.ACTIVATION),
    (lambda x: x.clamp(min=0), Kind.ACTIVATION),
    (lambda x: x.clamp(0, 3), Kind.ACTIVATION),
    (lambda x: x.clamp(-1, 3), Kind.OTHER),
    (F.gelu, Kind.OTHER),
    (lambda x: F.avg_pool2d(x, 2), Kind.AVERAGE_POOL),
    (lambda x: F.adaptive_avg_pool2d(x, 1), Kind.AVERAGE_POOL),
    (lambda x: x.mean((2, 3)), Kind.AVERAGE_POOL),
    (lambda x: x.mean(dim=[-1, -2], keepdim=True), Kind.AVERAGE_POOL),
    (lambda x: x.mean(1), Kind.AVERAGE_POOL),
    (lambda x: x.mean(0), Kind.OTHER),  # over the images
    (lambda x: x.mean(-4), Kind.OTHER),
    (lambda x: x.chunk(2, 1)[0], Kind.SHAPE),
    (lambda x: x.amax((2, 3)), Kind.MAX_POOL),
    (lambda x: F.max_pool2d(x, 2), Kind.MAX_POOL),
    (lambda x: F.dropout(x, 0.5), Kind.DROPOUT),
    (lambda x: torch.flatten(x, 1), Kind.SHAPE),
    (lambda x: x.view(x.size(0), -1), Kind.SHAPE),
    (lambda x: x + x, Kind.SUM),
    (lambda x: torch.cat([x, x], 1), Kind.JOIN),
    (lambda x: x * 2, Kind.OTHER),
    (lambda x: x * x, Kind.OTHER),
]


@pytest.mark.parametrize(("function", "kind"), FUNCTIONS)
def test_functions_have_the_kind_of_their_module(function: object, kind: Kind) -> None:
    model = Functions(function).eval()
    body = trace(model)
    last = next(n for n in reversed(body.graph.nodes) if n.op == "output").all_input_nodes[0]
    assert kind_of(body, last) is kind
    if kind is not Kind.DROPOUT:
        x = images(2)
        torch.testing.assert_close(body(x), model(x))


def test_a_relu_called_twice_becomes_two_neurons() -> None:
    body = trace(network("residual"))
    names = swap_activations(body, lambda name, activation: Neuron(theta=1.0))
    assert len(names) == len(set(names)) == 4
    neurons = [module for _, module in layers(body, Kind.NEURON)]
    assert len({id(neuron) for neuron in neurons}) == 4


def test_activations_know_their_bounds() -> None:
    body = trace(network("branches"))
    found = [module for _, module in layers(body, Kind.ACTIVATION)]
    assert [type(module) for module in found] == [nn.ReLU, ClippedReLU, nn.ReLU6]
    assert found[1].bound == 0.7
    assert any(isinstance(m, GlobalAverage) for _, m in layers(body, Kind.AVERAGE_POOL))


def test_replacing_one_call_leaves_the_other() -> None:
    """f(x) = 2x called twice; the second call becomes 3x: 2·3 = 6."""
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(2.0)
    other = nn.Linear(1, 1, bias=False)
    other.weight.data.fill_(3.0)
    body = trace(nn.Sequential(layer, layer))
    second = list(layers(body, Kind.SYNAPSE))[1][0]
    replace_module(body, second, other)
    body.recompile()
    assert body(torch.ones(1, 1)).item() == 6.0
    assert layer.weight.item() == 2.0


def test_nodes_are_described_as_the_user_wrote_them() -> None:
    body = trace(nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3)), nn.GELU()))
    texts = [describe_node(body, n) for n in body.graph.nodes if n.op == "call_module"]
    assert texts == ["0.0 (Conv2d)", "1 (GELU)"]
    body = trace(Functions(F.gelu))
    last = [n for n in body.graph.nodes if n.op == "call_function"][-1]
    assert describe_node(body, last) == "gelu (gelu)"


def test_two_inputs_are_refused() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    with pytest.raises(UnsupportedNetwork, match="must take one input"):
        trace(Two())


def test_an_unused_second_input_is_dropped() -> None:
    class Optional(nn.Module):
        def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
            return torch.relu(x)

    body = trace(Optional())
    assert sum(n.op == "placeholder" for n in body.graph.nodes) == 1


def test_control_flow_is_refused_with_a_reason() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if operator.gt(x.sum(), 0) else -x

    with pytest.raises(UnsupportedNetwork, match=r"Branching cannot be traced by torch.fx \(.*\)"):
        trace(Branching())
