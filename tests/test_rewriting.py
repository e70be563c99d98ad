"""Spellings of user networks that tutorials have: they compute, convert, and train as any other."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import convert
from conversion.export import write_nir
from direct import prepare
from network.fixed import fixed_point, unroll_fixed
from network.graph import UnsupportedNetwork, trace
from network.layout import channels_last, layout_of
from network.rewriting import squeeze_images
from network.wiring import wiring
from tests.direct_networks import seeded

Join = Callable[[Tensor], Tensor]

JOINS: dict[str, Join] = {
    "view with the size": lambda x: x.view(x.size(0), -1),
    "view with the shape": lambda x: x.view(x.shape[0], -1),
    "view with a number": lambda x: x.view(-1, 54),
    "view with a tuple": lambda x: x.view((x.size()[0], -1)),
    "reshape": lambda x: x.reshape(x.size(0), -1),
    "reshape of torch": lambda x: torch.reshape(x, (x.shape[0], 54)),
    "flatten by keyword": lambda x: torch.flatten(input=x, start_dim=1),
}


class Tutorial(nn.Module):
    """Two convolutions and two linear layers, joined in one of the ways."""

    join: Join = staticmethod(JOINS["reshape"])

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(54, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(F.relu(self.conv1(input=x)), 2)
        x = F.avg_pool2d(F.relu(input=self.conv2(x)), 2)
        out: Tensor = self.fc2(F.relu(self.fc1(self.join(x))))
        return out


class Squeezed(nn.Module):
    """Global average pooling and a squeeze without an axis."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.output = nn.Conv2d(3, 5, 3), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.output(F.adaptive_avg_pool2d(F.relu(self.conv(x)), 1).squeeze())
        return out


def tutorial(name: str) -> nn.Module:
    model = seeded(Tutorial).eval()
    model.join = JOINS[name]
    return model


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(6, 3, 12, 12, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", JOINS)
def test_a_traced_network_takes_every_layout(name: str, images: Tensor) -> None:
    model = tutorial(name)
    body = trace(model)
    for batch in (images, images[:1]):
        torch.testing.assert_close(body(channels_last(batch)), model(batch))


@pytest.mark.parametrize("method", ["data-norm", "robust-norm", "spike-norm", "calibration"])
@pytest.mark.parametrize("name", ["view with the size", "view with a number"])
def test_it_converts_and_approaches_the_ann(name: str, method: str, images: Tensor) -> None:
    model = tutorial(name)
    network = convert(model, images, method=method).network
    with torch.no_grad():
        scores = network(images, 256)[-1]
        torch.testing.assert_close(scores, model(images), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("name", JOINS)
def test_it_is_swept_in_whole_numbers(name: str, images: Tensor) -> None:
    network = convert(tutorial(name), images, method="robust-norm").network
    fixed = fixed_point(network, (3, 12, 12), 16)
    with torch.no_grad():
        torch.testing.assert_close(
            network.read(unroll_fixed(fixed, images, 8)).float(),
            network(images, 8),
            atol=0.02,
            rtol=0.02,
        )


@pytest.mark.parametrize("name", ["view with the size", "view with a number"])
def test_it_is_trained_directly(name: str, images: Tensor) -> None:
    labels = torch.arange(6) % 3
    trainable = prepare(tutorial(name), rule="bptt", timesteps=3, images=images, labels=labels)
    loss, _ = trainable.objective(images, labels, torch.arange(6))
    loss.backward()
    assert all(p.grad is not None for p in trainable.network.parameters())


def test_squeeze_without_an_axis_keeps_the_images(images: Tensor) -> None:
    model = seeded(Squeezed).eval()
    body = trace(model)
    for batch in (images, images[:1]):
        torch.testing.assert_close(body(batch).view(len(batch), 3), model(batch).view(-1, 3))
    assert body(images[:1]).shape == (1, 3)
    for method in ("data-norm", "robust-norm"):
        network = convert(model, images, method=method).network
        with torch.no_grad():
            torch.testing.assert_close(network(images, 256)[-1], model(images), atol=0.05, rtol=0.1)
    assert squeeze_images(torch.zeros(1, 1, 2, 1)).shape == (1, 2)


@pytest.mark.parametrize("name", ["view with a number", "reshape"])
def test_an_ann_is_trained_in_a_layout_that_it_takes(name: str, images: Tensor) -> None:
    model = tutorial(name).train()
    arrange = layout_of(model, (3, 12, 12))
    assert model.training
    assert arrange is (channels_last if name == "reshape" else torch.Tensor.contiguous)
    weight = model.get_parameter("conv2.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last) == (name == "reshape")
    F.cross_entropy(model(arrange(images)), torch.arange(6) % 3).backward()


def test_a_norm_over_tokens_is_not_folded_into_the_features(images: Tensor) -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix, self.norm, self.output = (
                nn.Linear(144, 10),
                nn.BatchNorm1d(3),
                nn.Linear(30, 3),
            )

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.norm(self.mix(x.flatten(2))))
            out: Tensor = self.output(x.flatten(1))
            return out

    model = seeded(Tokens)
    model(images)  # running statistics of its own
    network = convert(model.eval(), images, method="data-norm").network
    with torch.no_grad():
        torch.testing.assert_close(network(images, 512)[-1], model(images), atol=0.05, rtol=0.05)


@pytest.mark.filterwarnings("ignore:Using padding=.same.:UserWarning")
@pytest.mark.parametrize(("padding", "kernel"), [("same", 3), ("valid", 3), ("same", 2)])
def test_words_for_padding_reach_nir_as_numbers(
    padding: str, kernel: int, images: Tensor, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    size = 12 if padding == "same" else 10
    model = nn.Sequential(
        nn.Conv2d(3, 2, kernel, padding=padding), nn.ReLU(), nn.Flatten(),
        nn.Linear(2 * size * size, 3),
    )  # fmt: skip
    network = convert(model, images, method="data-norm").network
    file = tmp_path / "net.nir"
    if padding == "same" and kernel == 2:  # one zero more on one side
        with pytest.raises(UnsupportedNetwork, match=r"NIR cannot express 0 \(Conv2d\)"):
            write_nir(network, tuple(images.shape[1:]), file)
    else:
        write_nir(network, tuple(images.shape[1:]), file)
        assert file.is_file()


@pytest.mark.parametrize("compare", [lambda x: x > 0.5, lambda x: x.gt(0.5), lambda x: x.bool()])
def test_a_comparison_becomes_floats_where_the_network_says_so(
    compare: Join, images: Tensor
) -> None:
    class Sharp(Tutorial):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(compare(x).float())

    model = seeded(Sharp)
    body = trace(model)
    assert torch.equal(body(images), model(images))
    plain = trace(seeded(Tutorial))
    assert wiring(body, images.shape[1:]).synapses == wiring(plain, images.shape[1:]).synapses
    labels = torch.arange(6) % 3
    trainable = prepare(model, rule="bptt", timesteps=2, images=images, labels=labels)
    assert trainable.network(images, 2).isfinite().all()
