"""What is followed of a forward pass: the branch of eval mode, one input, the user's line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import direct
from compare.sweep import folded
from conversion import convert, quantise_activations
from network.graph import Kind, UnsupportedNetwork, layers, trace

SHAPE = (3, 6, 6)


class Net(nn.Module):
    """A convolution, a function of the network and its output, and a linear layer."""

    def __init__(self, between: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bias = nn.Parameter(torch.linspace(-0.2, 0.2, 4))
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(64, 5)
        self.unregistered = [nn.ReLU(), nn.Conv2d(4, 4, 1)]
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.between(self, self.conv(x)).flatten(1))
        return result


def net(between: Callable[[Any, Tensor], Tensor]) -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net(between)


def images(count: int = 4) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1))


def noisy(model: Any, h: Tensor) -> Tensor:
    if model.training:
        h = h + torch.randn_like(h)
    return F.relu(h)


def test_a_branch_of_training_does_not_run_at_inference() -> None:
    x = images()
    trained = direct.prepare(
        net(noisy).train(), rule="bptt", timesteps=3, images=x, labels=torch.arange(4)
    )
    network = folded(trained.finish())
    with torch.no_grad():
        assert torch.equal(network(x, 3), network(x, 3))
    quantised = quantise_activations(net(noisy)).eval()
    assert torch.equal(quantised(x), quantised(x))


def dropped(model: Any, h: Tensor) -> Tensor:
    h = F.relu(h)
    if model.training:
        h = model.drop(F.dropout(h, 0.3))
    return h


def test_dropout_in_a_branch_of_training_follows_its_mode() -> None:
    body = trace(net(dropped).train())
    assert len(list(layers(body, Kind.DROPOUT))) == 2
    x = images()
    assert not torch.equal(body(x), body(x))
    torch.testing.assert_close(body.eval()(x), net(dropped).eval()(x))


def test_tracing_leaves_every_module_in_its_mode() -> None:
    model = net(noisy).train()
    model.drop.eval()
    trace(model)
    assert model.training
    assert model.conv.training
    assert not model.drop.training


ADDED: list[Callable[[Any, Tensor], Tensor]] = [
    lambda model, h: F.relu(h + model.bias.view(1, -1, 1, 1)),
    lambda model, h: F.relu(h + model.bias[None, :, None, None]),
]


@pytest.mark.parametrize("between", ADDED)
def test_a_reshaped_parameter_is_the_same_at_every_step(
    between: Callable[[Any, Tensor], Tensor],
) -> None:
    model, x = net(between).eval(), images()
    network = convert(model, x, method="data-norm").network
    with torch.no_grad():
        scores, expected = network(x, 256), model(x)
    errors = [float((scores[t - 1] - expected).abs().max()) for t in (32, 256)]
    assert errors[1] < 0.25 * errors[0]
    assert errors[1] < 0.02 * float(expected.abs().max())


OUTPUTS: list[Callable[[Tensor], object]] = [lambda h: (h, h), lambda h: {"scores": h}]


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_spiking_network_must_return_one_tensor(output: Callable[[Tensor], object]) -> None:
    class Several(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Flatten(), nn.Linear(108, 4), nn.ReLU())

        def forward(self, x: Tensor) -> object:
            return output(self.layers(x))

    x = images()
    with pytest.raises(ValueError, match=r"must return one tensor, got (tuple|dict)"):
        direct.prepare(Several(), rule="bptt", timesteps=2, images=x, labels=torch.arange(4))


def made_on_the_way(model: Any, h: Tensor) -> Tensor:
    result: Tensor = nn.ReLU(inplace=True)(h + model.bias.view(1, -1, 1, 1))
    return result


def from_a_list(model: Any, h: Tensor) -> Tensor:
    result: Tensor = model.unregistered[0](h)
    return result


@pytest.mark.parametrize("between", [made_on_the_way, from_a_list])
def test_layers_without_weights_need_not_be_registered(
    between: Callable[[Any, Tensor], Tensor],
) -> None:
    model, x = net(between).eval(), images()
    assert len(convert(model, x, method="data-norm").thresholds) == 1
    torch.testing.assert_close(trace(model)(x), model(x))


def first_element(model: Any, h: Tensor) -> Tensor:
    del model
    return F.relu(h) if float(h.sum()) > 0 else h


REFUSED: list[tuple[Callable[[Any, Tensor], Tensor], str]] = [
    (lambda model, h: nn.Softmax(1)(F.relu(h)), r"softmax .*cannot become spiking"),
    (lambda model, h: model.unregistered[1](h), r"does not hold \(Conv2d\): .* nn.ModuleList"),
    (first_element, r"Net cannot be traced by torch.fx \(.*\) at test_tracing.py, line \d+; "),
]


@pytest.mark.parametrize(("between", "words"), REFUSED)
def test_what_cannot_be_followed_is_one_line(
    between: Callable[[Any, Tensor], Tensor], words: str
) -> None:
    with pytest.raises(UnsupportedNetwork, match=words) as caught:
        convert(net(between), images(), method="data-norm")
    assert "\n" not in str(caught.value)


def test_the_line_that_cannot_be_followed_is_named() -> None:
    line = first_element.__code__.co_firstlineno + 2
    with pytest.raises(UnsupportedNetwork, match=rf"at test_tracing.py, line {line};"):
        trace(net(first_element))


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_compiled_network_is_refused_in_one_line() -> None:
    whole = nn.Sequential(nn.Flatten(), nn.Linear(108, 4), nn.ReLU(), nn.Linear(4, 5))
    compiled = torch.jit.script(whole)
    for model in (compiled, nn.Sequential(compiled)):
        with pytest.raises(UnsupportedNetwork, match=r"compiled by torch\.jit"):
            convert(model, images(), method="data-norm")


class Defaults(Net):
    """Arguments that those who train a network leave alone."""

    def forward(self, x: Tensor, features: bool = False, mask: Any = None, **more: Any) -> Any:
        h = F.relu(self.conv(x))
        if mask is not None:
            h = h * mask
        scores = self.head(h.flatten(1))
        return (scores, h, more) if features else scores


def test_arguments_with_defaults_keep_them() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, x = Defaults(noisy).eval(), images()
    body = trace(model)
    assert sum(node.op == "placeholder" for node in body.graph.nodes) == 1
    torch.testing.assert_close(body(x), model(x))
    assert len(convert(model, x, method="data-norm").thresholds) == 1


def kept(model: Any, h: Tensor) -> Tensor:
    h = F.relu(h)
    model.features, model.all_features = h, [h, {"again": h}]
    return h


def test_a_network_that_keeps_what_it_computed_is_copied() -> None:
    model, x = net(kept), images()
    model(x).sum().backward()
    assert model.features.requires_grad
    assert len(convert(model, x, method="data-norm").thresholds) == 1
    assert quantise_activations(model)(x).shape == (4, 5)


def test_tracing_leaves_no_attributes() -> None:
    model = net(kept)
    trace(model)
    assert not hasattr(model, "features")


class MadeOnTheWay(nn.Module):
    """A tensor of numbers made in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.output = nn.Conv2d(1, 3, 3), nn.Linear(48, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(x) + torch.tensor([0.1, -0.2, 0.3]).view(3, 1, 1))
        out: Tensor = self.output(x.flatten(1))
        return out


@pytest.mark.parametrize("training", [False, True])
def test_tensors_made_in_forward_are_kept_and_not_on_the_users_network(training: bool) -> None:
    torch.manual_seed(0)
    model = MadeOnTheWay().train(training)
    before = set(vars(model))
    body = trace(model)
    x = torch.rand(2, 1, 6, 6)
    torch.testing.assert_close(body(x), model(x))
    assert set(vars(model)) == before
    assert body.training is training
