"""Oracles of neurons and conversions over networks that hypothesis makes up."""

import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from conversion import convert, quantise_activations
from conversion.convert import prepare_ann
from conversion.statistics import activations
from network.encodings import image_keys
from network.graph import Kind, kind_of
from network.neurons import NeuronState
from network.unroll import unroll

CHANNELS, SIDE = 4, 6
STAGES = ("plain", "norm", "residual", "shortcut", "max pool", "average pool", "join", "bare norm")


class Stage(nn.Module):
    """One building block on [B, 4, H, W]; pooling halves H and W where they are still above 2."""

    def __init__(self, kind: str, functional: bool) -> None:
        super().__init__()
        self.kind, self.functional = kind, functional
        bias = kind != "norm"
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=bias)
        self.other = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.norm, self.norm2 = nn.BatchNorm2d(CHANNELS), nn.BatchNorm2d(CHANNELS)
        self.relu = nn.ReLU()

    def act(self, x: Tensor) -> Tensor:
        return F.relu(x) if self.functional else self.relu(x)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "plain":
            return self.act(self.conv(x))
        if self.kind == "norm":
            return self.act(self.norm(self.conv(x)))
        if self.kind == "residual":
            return self.act(self.norm2(self.other(self.act(self.norm(self.conv(x))))) + x)
        if self.kind == "shortcut":
            return self.act(self.norm(self.conv(x)) + self.norm2(self.other(x)))
        if self.kind == "max pool":
            return F.max_pool2d(self.act(self.conv(x)), 2, stride=1, padding=1)
        if self.kind == "average pool":
            return F.avg_pool2d(self.act(self.conv(x)), 2, stride=1)
        if self.kind == "bare norm":
            return self.conv(self.act(self.norm(x)))
        left, right = self.act(self.conv(x)), self.act(self.other(x))
        return self.act(self.norm(torch.cat([left[:, :2], right[:, 2:]], 1)))


class Made(nn.Module):
    def __init__(self, kinds: list[str], functional: bool, pool_inputs: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2, stride=1) if pool_inputs else nn.Identity()
        self.stages = nn.Sequential(*[Stage(kind, functional) for kind in kinds])
        self.head = nn.Linear(CHANNELS, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(self.pool(self.relu(self.stem(x))))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


@st.composite
def networks(draw: st.DrawFn) -> nn.Module:
    """A network in eval mode and float64, with norm statistics away from the identity."""
    kinds = draw(st.lists(st.sampled_from(STAGES), min_size=1, max_size=3))
    model = Made(kinds, draw(st.booleans()), draw(st.booleans()))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0.0, (2 / fan_in) ** 0.5, generator=generator)
                if module.bias is not None:
                    module.bias.uniform_(0.0, 0.3, generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0.0, 0.3, generator=generator)
                module.running_var.uniform_(0.3, 2.0, generator=generator)
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.uniform_(0.0, 0.5, generator=generator)
    model = model.double().eval()
    body, _, _ = prepare_ann(model)
    with torch.no_grad():  # a layer that is never active has no threshold: SilentLayer
        assume(all(values.max() > 0 for values in activations(body, images(6)).values()))
    return model


def images(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)


class Spikes:
    """A tap that counts the spikes of every neuron."""

    def __init__(self) -> None:
        self.counts: dict[str, Tensor] = {}

    def inputs(self, first: int, inputs: Tensor) -> None: ...

    def neurons(
        self, name: str, first: int, current: Tensor, spikes: Tensor, state: NeuronState
    ) -> None:
        self.counts[name] = self.counts.get(name, 0) + (spikes > 0).sum(0)


@settings(max_examples=40, deadline=None)
@given(networks())
def test_folding_and_moving_leave_the_output_unchanged(model: nn.Module) -> None:
    body, _, _ = prepare_ann(model)
    with torch.no_grad():
        torch.testing.assert_close(body(images(4)), model(images(4)), rtol=1e-9, atol=1e-10)
    assert not any(kind_of(body, n) in (Kind.NORM, Kind.OTHER) for n in body.graph.nodes)


@settings(max_examples=8, deadline=None)
@given(networks())
def test_the_spiking_network_approaches_the_ann(model: nn.Module) -> None:
    """Thresholds that clip nothing on these very images: what is left is rounding, about 1/T."""
    x = images(6)
    result = convert(model, x, method="data-norm")
    with torch.no_grad():
        scores = result.network.read(unroll(result.network, x, 256, chunk=128))
        answer = model(x)
    assert (scores[-1] - answer).norm() < 0.05 * answer.norm() + 0.02
    assert (scores[-1] - answer).norm() < (scores[1] - answer).norm() + 1e-9


@settings(max_examples=15, deadline=None)
@given(networks(), st.sampled_from([2, 4, 8]), st.floats(0.4, 2.0))
def test_qcfs_is_exact_in_the_first_layer_at_t_equal_l(
    model: nn.Module, levels: int, scale: float
) -> None:
    quantised = quantise_activations(model, levels).double().eval()
    for name, parameter in quantised.named_parameters():
        if name.endswith("threshold"):
            parameter.data.fill_(scale)
    x = images(5)
    result = convert(quantised, x, method="qcfs")
    body, _, _ = prepare_ann(quantised)
    name, target = next(iter(activations(body, x).items()))
    tap = Spikes()
    with torch.no_grad():
        unroll(result.network, x, levels, taps=[tap])
    expected = (target * levels / scale).round().long()
    # the potential is float32: a current that falls on a level may round to its neighbour
    assert ((tap.counts[name] - expected).abs() > 0).float().mean() < 0.005


@settings(max_examples=10, deadline=None)
@given(
    networks(),
    st.sampled_from(["data-norm", "channel-norm", "half-shift"]),
    st.sampled_from(["constant", "poisson"]),
    st.integers(1, 9),
    st.integers(1, 5),
)
def test_every_t_is_the_start_of_a_longer_run_in_any_batch(
    model: nn.Module, method: str, encoding: str, steps: int, batch: int
) -> None:
    result = convert(model, images(6), method=method, encoding=encoding)
    x, keys = images(5, seed=2), image_keys(0, torch.arange(5))
    with torch.no_grad():
        longest = unroll(result.network, x, 9, keys=keys)
        parts = [
            unroll(result.network, x[i : i + batch], steps, keys=keys[i : i + batch], chunk=2)
            for i in range(0, 5, batch)
        ]
    torch.testing.assert_close(torch.cat(parts, 1), longest[:steps], rtol=1e-9, atol=1e-9)
