"""Exported networks spike as ours do: read by a plain interpreter, and by other simulators."""

import json
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import CONVERSIONS, convert, quantise_activations
from conversion.export import load_plain, nir_graph, save_plain, write_nir
from network.graph import UnsupportedNetwork
from network.readouts import MEMBRANE_DECAY
from tests.small_networks import SHAPE, images, network
from tests.spike_trains import own_spikes

STEPS = 12


def read_nir(
    graph: nir.NIRGraph, x: Tensor, steps: int, *, hard: bool = False
) -> tuple[dict[str, Tensor], Tensor]:
    """A plain reading of NIR: unit spikes, subtraction of the threshold, inputs added up."""
    sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for before, after in graph.edges:
        sources[after].append(before)
    potentials: dict[str, Tensor] = {}
    spikes: dict[str, list[Tensor]] = {}
    outputs = []
    for _ in range(steps):
        values: dict[str, Tensor] = {"input": x}
        while len(values) < len(graph.nodes):
            for name, node in graph.nodes.items():
                ready = name not in values and all(s in values for s in sources[name])
                if ready:
                    current = sum(values[s] for s in sources[name])
                    values[name] = evaluate(node, name, current, potentials, hard)
        for name, node in graph.nodes.items():
            if isinstance(node, nir.IF):
                spikes.setdefault(name, []).append(values[name])
        outputs.append(values["output"])
    return {name: torch.stack(parts) for name, parts in spikes.items()}, torch.stack(outputs)


def evaluate(
    node: nir.NIRNode, name: str, x: Tensor, potentials: dict[str, Tensor], hard: bool
) -> Tensor:
    if isinstance(node, nir.Affine):
        return F.linear(x, torch.tensor(node.weight), torch.tensor(node.bias))
    if isinstance(node, nir.Conv2d):
        stride, padding, dilation = (
            tuple(int(v) for v in value) for value in (node.stride, node.padding, node.dilation)
        )
        weight, bias = torch.tensor(node.weight), torch.tensor(node.bias)
        return F.conv2d(x, weight, bias, stride, padding, dilation, int(node.groups))
    if isinstance(node, nir.SumPool2d):
        return F.avg_pool2d(x, tuple(node.kernel_size), tuple(node.stride), divisor_override=1)
    if isinstance(node, nir.AvgPool2d):
        return F.avg_pool2d(x, tuple(node.kernel_size), tuple(node.stride))
    if isinstance(node, nir.Flatten):
        return x.flatten(node.start_dim + 1)
    if isinstance(node, nir.Scale):
        return x * torch.tensor(node.scale)
    if isinstance(node, nir.IF):
        threshold = torch.tensor(node.v_threshold)
        v = potentials.get(name, torch.zeros_like(x)) + x
        s = (v >= threshold).float()
        potentials[name] = v * (1 - s) if hard else v - threshold * s
        return s
    return x


@pytest.mark.parametrize("pooling", ["sum", "average"])
@pytest.mark.parametrize("method", ["data-norm", "channel-norm", "spike-norm"])
@pytest.mark.parametrize("name", ["plain", "residual"])
def test_nir_spikes_as_the_network_does(name: str, method: str, pooling: str) -> None:
    x = images(8)
    options = {"timesteps": 10} if method == "spike-norm" else None
    result = convert(network(name), x, method=method, options=options)
    ours, outputs = own_spikes(result.network, x, STEPS)
    graph = nir_graph(result.network, SHAPE, pooling=pooling)
    theirs, their_outputs = read_nir(graph, x, STEPS)
    assert sorted(ours) == sorted(theirs)
    for layer, spikes in ours.items():
        assert spikes.sum() > 0
        # the weights are multiplied in another order: a sum may fall on the other side of θ
        assert (spikes != theirs[layer]).float().mean() < 2e-3, layer
    torch.testing.assert_close(their_outputs.mean(0), outputs.mean(0), rtol=1e-2, atol=2e-2)


class MeanOfMaps(nn.Module):
    """A mean over the maps in front of the last layer, as a function."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.output = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.output(torch.relu(self.conv(x)).mean((2, 3)))
        return out


@pytest.mark.parametrize("pooling", ["sum", "average"])
def test_nir_has_a_mean_over_the_maps(pooling: str) -> None:
    x = images(8)
    result = convert(MeanOfMaps(), x, method="channel-norm")
    ours, outputs = own_spikes(result.network, x, STEPS)
    theirs, their_outputs = read_nir(nir_graph(result.network, SHAPE, pooling=pooling), x, STEPS)
    assert list(ours) == list(theirs)
    assert all(torch.equal(spikes, theirs[layer]) for layer, spikes in ours.items())
    torch.testing.assert_close(their_outputs, outputs)


def test_nir_holds_unit_spikes_and_folded_heights() -> None:
    """θ of the first layer is folded into the second's weights, with ¼ of the 2×2 pooling."""
    result = convert(network("plain"), images(8), method="data-norm")
    graph = nir_graph(result.network, SHAPE)
    first, second = (
        module for module in result.network.body.modules() if isinstance(module, nn.Conv2d)
    )
    written = [node for node in graph.nodes.values() if isinstance(node, nir.Conv2d)]
    theta = next(iter(result.thresholds.values())).item()
    np.testing.assert_allclose(written[0].weight, first.weight.detach().numpy())
    np.testing.assert_allclose(
        written[1].weight, second.weight.detach().numpy() * theta / 4, rtol=1e-6
    )
    np.testing.assert_allclose(written[1].bias, second.bias.detach().numpy())


def test_nir_file_reads_back(tmp_path: Path) -> None:
    x = images(4)
    result = convert(network("plain"), x, method="data-norm")
    path = tmp_path / "snn.nir"
    write_nir(result.network, SHAPE, path)
    read, _ = read_nir(nir.read(path), x, STEPS)
    written, _ = read_nir(nir_graph(result.network, SHAPE), x, STEPS)
    for layer, spikes in written.items():
        assert torch.equal(spikes, read[layer])


@pytest.mark.parametrize(
    ("name", "method", "words"),
    [
        ("plain", "half-shift", "no start potential"),
        ("branches", "data-norm", "NIR cannot express"),
        ("max-pooled", "data-norm", r"NIR cannot express 2 \(PooledCurrent\)"),
    ],
)
def test_what_nir_cannot_express_is_refused(name: str, method: str, words: str) -> None:
    result = convert(network(name), images(4), method=method)
    with pytest.raises(UnsupportedNetwork, match=words):
        nir_graph(result.network, SHAPE)


class Averaged(nn.Module):
    def __init__(self, pool: nn.Module, alpha: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.act, self.act2, self.pool, self.alpha = nn.ReLU(), nn.ReLU(), pool, alpha

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.act(self.first(x)))
        more = self.second(x)
        return self.act2(torch.add(more, x, alpha=self.alpha) if self.alpha != 1.0 else more)


@pytest.mark.parametrize(("pooling", "share"), [("sum", 1 / 3), ("average", 4 / 3)])
def test_nir_keeps_a_divisor_of_ones_own(pooling: str, share: float) -> None:
    model = Averaged(nn.AvgPool2d(2, divisor_override=3))
    result = convert(model, images(4), method="data-norm")
    graph = nir_graph(result.network, SHAPE, pooling=pooling)
    written = [node for node in graph.nodes.values() if isinstance(node, nir.Conv2d)][1]
    theta = next(iter(result.thresholds.values())).item()
    expected = model.second.weight.detach().numpy() * theta * share
    np.testing.assert_allclose(written.weight, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            Averaged(nn.AvgPool2d(3, 2, ceil_mode=True)),
            r"NIR rounds sizes down, .* pool \(Avg",
        ),
        (Averaged(nn.Identity(), 0.5), r"NIR cannot express add \(add\): it is no plain sum"),
    ],
)
def test_nir_refuses_what_it_would_change(model: nn.Module, words: str) -> None:
    result = convert(model, images(4), method="data-norm")
    with pytest.raises(UnsupportedNetwork, match=words):
        nir_graph(result.network, SHAPE)


def test_nir_has_no_observation_steps() -> None:
    model = quantise_activations(network("plain"), 4)
    result = convert(model, images(1), method="srp")
    with pytest.raises(UnsupportedNetwork, match="no observation steps, and this network spends 4"):
        nir_graph(result.network, SHAPE)


def test_nir_pooling_is_checked() -> None:
    result = convert(network("plain"), images(4), method="data-norm")
    with pytest.raises(ValueError, match="pooling must be 'average' or 'sum', got 'max'"):
        nir_graph(result.network, SHAPE, pooling="max")


@pytest.mark.parametrize("name", ["plain", "residual", "branches", "max-pooled"])
@pytest.mark.parametrize("method", ["channel-norm", "calibration", "srp", "offset"])
def test_the_plain_form_loads_back_and_spikes_identically(
    name: str, method: str, tmp_path: Path
) -> None:
    model = network(name)
    if CONVERSIONS.get(method).ann == "qcfs":
        model = quantise_activations(model, 4)
    x = images(6)
    result = convert(model, x, method=method)
    save_plain(result.network, tmp_path)
    loaded = load_plain(tmp_path)
    assert list(loaded.neurons()) == list(result.network.neurons())
    ours, outputs = own_spikes(result.network, x, STEPS)
    theirs, their_outputs = own_spikes(loaded, x, STEPS)
    for layer, spikes in ours.items():
        assert torch.equal(spikes, theirs[layer])
    assert torch.equal(outputs, their_outputs)
    assert loaded.encoding == result.network.encoding


@pytest.mark.parametrize("older", [False, True])
def test_the_plain_form_keeps_the_readout_and_its_decay(tmp_path: Path, older: bool) -> None:
    ours = convert(network("plain"), images(2), method="data-norm").network
    ours.readout, ours.readout_decay = "membrane", 0.75
    save_plain(ours, tmp_path)
    if older:  # files from before networks had a decay of their own
        graph = tmp_path / "snn.json"
        content = json.loads(graph.read_text())
        del content["readout_decay"]
        graph.write_text(json.dumps(content))
    loaded = load_plain(tmp_path)
    assert loaded.readout == "membrane"
    assert loaded.readout_decay == (MEMBRANE_DECAY if older else 0.75)


def test_the_plain_form_is_refused_in_another_format(tmp_path: Path) -> None:
    save_plain(convert(network("plain"), images(2), method="data-norm").network, tmp_path)
    graph = tmp_path / "snn.json"
    content = json.loads(graph.read_text())
    graph.write_text(json.dumps({**content, "format": 9}))
    with pytest.raises(ValueError, match=r"snn.json: format must be 1, got 9"):
        load_plain(tmp_path)
    for text in ("{", "[]", "{}"):
        (tmp_path / "snn.json").write_text(text)
        with pytest.raises(ValueError, match=r"snn\.json is not one that save_plain has written"):
            load_plain(str(tmp_path))


def test_the_plain_form_builds_only_known_modules(tmp_path: Path) -> None:
    save_plain(convert(network("plain"), images(2), method="data-norm").network, tmp_path)
    graph = tmp_path / "snn.json"
    graph.write_text(graph.read_text().replace('"AvgPool2d"', '"Anything"'))
    with pytest.raises(ValueError, match=r"module must be one of .*, got 'Anything'"):
        load_plain(tmp_path)
