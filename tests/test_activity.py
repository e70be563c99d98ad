"""Counts of spikes and operations, against loops over every synapse."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from conversion import convert
from network.activity import ActivityCounter, EffectiveMacs, count_activity
from network.encodings import image_keys
from network.graph import swap_activations, trace
from network.neurons import Neuron
from network.unroll import SpikingNetwork, unroll
from network.wiring import wiring
from tests.small_networks import NETWORKS, SHAPE, images, network


def fan_out_by_loops(layer: nn.Conv2d, height: int, width: int) -> Tensor:
    """Synapses that a spike at (channel, row, column) drives, counted one by one."""
    counts = torch.zeros(layer.in_channels, height, width, dtype=torch.float64)
    out = layer(torch.zeros(1, layer.in_channels, height, width)).shape
    inputs, outputs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    for c_out, y, x in itertools.product(*map(range, out[1:])):
        for c, i, j in itertools.product(range(inputs), *map(range, layer.kernel_size)):
            row = y * layer.stride[0] - layer.padding[0] + i * layer.dilation[0]
            column = x * layer.stride[1] - layer.padding[1] + j * layer.dilation[1]
            if 0 <= row < height and 0 <= column < width:
                counts[c_out // outputs * inputs + c, row, column] += 1
    return counts


@settings(max_examples=20, deadline=None)
@given(
    groups=st.sampled_from([1, 2, 4]),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.integers(1, 2),
    size=st.tuples(st.integers(7, 9), st.integers(5, 8)),
)
def test_fan_out_of_a_convolution(groups, kernel, stride, padding, dilation, size) -> None:
    """Borders, stride, padding, dilation and groups, and the dense operations from them."""
    layer = nn.Conv2d(4, 8, kernel, stride, padding, dilation, groups)
    body = trace(nn.Sequential(nn.ReLU(), layer))
    swap_activations(body, lambda name, activation: Neuron())
    wires = wiring(body, (4, *size))
    (source,) = [name for name in wires.fan_out if name != "input"]
    (counts,) = wires.fan_out[source].values()
    expected = fan_out_by_loops(layer, *size)
    torch.testing.assert_close(counts, expected, rtol=0, atol=0)
    (synapse,) = wires.synapses
    assert synapse.operations == int(expected.sum())
    assert not synapse.analogue


def test_fan_out_of_a_linear_layer_is_its_outputs() -> None:
    body = trace(nn.Sequential(nn.ReLU(), nn.Linear(6, 5)))
    swap_activations(body, lambda name, activation: Neuron())
    (counts,) = wiring(body, (6,)).fan_out[swap_names(body)[0]].values()
    assert counts.tolist() == [5.0] * 6


def swap_names(body) -> list[str]:
    return [n.name for n in body.graph.nodes if isinstance(module_of(body, n), Neuron)]


def module_of(body, node):
    return body.get_submodule(node.target) if node.op == "call_module" else None


def test_average_pooling_routes_spikes_to_the_next_synapses() -> None:
    """2×2 windows of 5×5: a spike in a window reaches the 3 outputs once, the border none."""
    body = trace(nn.Sequential(nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 3)))
    swap_activations(body, lambda name, activation: Neuron())
    (counts,) = wiring(body, (1, 5, 5)).fan_out[swap_names(body)[0]].values()
    expected = torch.zeros(5, 5, dtype=torch.float64)
    expected[:4, :4] = 3.0
    assert torch.equal(counts[0], expected)


def test_pooling_neurons_are_a_layer_of_their_own() -> None:
    """A spike in front of spiking pooling drives one synapse; one behind it drives 3."""
    body = trace(
        nn.Sequential(nn.ReLU(), nn.AvgPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(4, 3))
    )
    roles = iter(("hidden", "pooling"))
    swap_activations(body, lambda name, activation: Neuron(role=next(roles)))
    wires = wiring(body, (1, 4, 4))
    first, second = swap_names(body)
    assert [layer.kind for layer in wires.layers] == ["input", "hidden", "pooling", "output"]
    assert torch.equal(*wires.fan_out[first].values(), torch.ones(1, 4, 4, dtype=torch.float64))
    assert torch.equal(*wires.fan_out[second].values(), torch.full((1, 2, 2), 3.0).double())


class Identity(nn.Module):
    """relu(conv(x) + x): the identity shortcut carries spikes to the same membranes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.ReLU(), nn.ReLU()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.head = nn.Linear(2 * 9, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.head(self.second(self.conv(x) + x).flatten(1))


def test_an_identity_shortcut_is_one_accumulate_per_spike() -> None:
    """3×3 kernel on 3×3 with padding: 4, 6 and 9 places · 2 channels, and 1 for the shortcut."""
    body = trace(Identity())
    swap_activations(body, lambda name, activation: Neuron())
    wires = wiring(body, (2, 3, 3))
    targets = wires.fan_out["first"]
    places = torch.tensor([[4.0, 6, 4], [6, 9, 6], [4, 6, 4]], dtype=torch.float64)
    assert torch.equal(targets["conv"], (2 * places).expand(2, 3, 3))
    assert torch.equal(targets["second"], torch.ones(2, 3, 3, dtype=torch.float64))
    assert wires.fan_out["second"]["head"].unique().tolist() == [4.0]


def accumulates_by_loops(net: SpikingNetwork, x: Tensor, steps: int, keys: Tensor | None):
    """Spikes and ACs of the residual network: every spike times what its layer drives."""
    trains: dict[str, list[Tensor]] = {}

    class Tap:
        def inputs(self, first: int, inputs: Tensor) -> None: ...

        def neurons(self, name, first, current, spikes, state) -> None:
            trains.setdefault(name, []).append((spikes > 0).double())

    with torch.no_grad():
        unroll(net, x, steps, keys=keys, taps=[Tap()])
    return {name: torch.cat(parts) for name, parts in trains.items()}


def test_counts_of_a_residual_network_add_up_synapse_by_synapse() -> None:
    result = convert(network("residual"), images(12), method="channel-norm")
    net, x, steps = result.network, images(5), 9
    counter = count_activity(net, SHAPE, steps)
    with torch.no_grad():
        unroll(net, x, steps, taps=[counter], chunk=4)
    trains = accumulates_by_loops(net, x, steps, None)
    stem, middle, joined, last = trains
    convs = {n: m for n, m in net.body.named_modules() if isinstance(m, nn.Conv2d)}
    by_stride = [m for m in convs.values() if m.stride == (2, 2)]
    grouped = next(m for m in convs.values() if m.groups == 2)
    expected = {
        stem: sum(fan_out_by_loops(m, 8, 8) for m in by_stride),
        middle: fan_out_by_loops(grouped, 4, 4),
        joined: fan_out_by_loops(grouped, 4, 4) + 1,  # the identity shortcut
        last: torch.full((8, 4, 4), 5.0, dtype=torch.float64),  # pooling, then 5 classes
    }
    assert counter.images == 5
    total = torch.zeros(steps, dtype=torch.float64)
    for name, spikes in trains.items():
        assert torch.equal(counter.spikes[name], spikes.flatten(1).sum(1))
        total += (spikes * expected[name]).flatten(1).sum(1)
    counted = sum(counter.accumulates.values())
    torch.testing.assert_close(counted, total, rtol=0, atol=0)


@pytest.mark.parametrize("encoding", ["constant", "poisson"])
@pytest.mark.parametrize("name", NETWORKS)
def test_counts_do_not_depend_on_chunk_or_batch(name: str, encoding: str) -> None:
    """Whole numbers that add up over batches; exact in float64 networks."""
    model = network(name, double=True)
    net = convert(model, images(8, double=True), method="half-shift", encoding=encoding).network
    x, keys = images(6, double=True), image_keys(0, torch.arange(6))

    def count(batch: int, chunk: int) -> ActivityCounter:
        counter = count_activity(net, SHAPE, 7)
        with torch.no_grad():
            for i in range(0, 6, batch):
                unroll(
                    net, x[i : i + batch], 7, keys=keys[i : i + batch], chunk=chunk, taps=[counter]
                )
        return counter

    whole = count(6, 7)
    for batch, chunk in ((2, 3), (5, 1)):
        other = count(batch, chunk)
        assert other.images == whole.images == 6
        for source, spikes in whole.spikes.items():
            assert torch.equal(spikes, other.spikes[source])
        for target, accumulates in whole.accumulates.items():
            assert torch.equal(accumulates, other.accumulates[target])
    assert ("input" in whole.spikes) == (encoding == "poisson")
    assert all(spikes.sum() > 0 for spikes in whole.spikes.values())


def test_counts_of_many_images_are_exact_in_bfloat16() -> None:
    """Spikes are as high as θ is in bfloat16, not as θ is."""
    body = trace(nn.Sequential(nn.Flatten(), nn.ReLU()))
    swap_activations(body, lambda name, activation: Neuron(theta=0.3001, height="threshold"))
    net = SpikingNetwork(body)
    x = torch.full((1000, 1, 1, 1), 0.5)
    counter = count_activity(net, (1, 1, 1), 2)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        unroll(net, x.bfloat16(), 2, taps=[counter])
    (spikes,) = counter.spikes.values()
    assert float(spikes.sum()) == 2000.0


def test_input_spikes_are_counted_and_drive_the_first_layer() -> None:
    net = convert(network("plain"), images(8), method="data-norm", encoding="poisson").network
    x, keys = images(4), image_keys(0, torch.arange(4))
    counter = count_activity(net, SHAPE, 10)
    with torch.no_grad():
        unroll(net, x, 10, keys=keys, taps=[counter])
    # a pixel p spikes at a share p of the 10 steps
    assert counter.spikes["input"].sum() == pytest.approx(10 * x.sum().item(), rel=0.1)
    assert not any(s.analogue for s in counter.wires.synapses)


def test_a_constant_input_multiplies_in_the_first_layer_only() -> None:
    net = convert(network("plain"), images(8), method="data-norm").network
    first, *others = wiring(net.body, SHAPE).synapses
    assert (first.analogue, first.static) == (True, True)
    assert not any(s.analogue or s.static for s in others)
    # 6 output channels, 3 input channels; 3×3 with padding 1 on 8×8: (8·3 − 2)² taps per pair
    assert first.operations == 6 * 3 * 22 * 22
    assert [s.operations for s in others] == [8 * 6 * 10 * 10, 128 * 16, 16 * 5]


def test_layers_in_front_of_the_neurons_multiply_spikes_anew_at_every_step() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1), nn.ReLU(), nn.Flatten(),
                          nn.Linear(128, 2))  # fmt: skip
    body = convert(model, images(4), method="data-norm", encoding="poisson").network.body
    _, second, _ = wiring(body, SHAPE, spiking_input=True).synapses
    assert (second.analogue, second.static) == (True, False)
    first, second, _ = wiring(body, SHAPE).synapses
    assert (first.static, second.static) == (True, True)


def test_a_first_layer_counts_once_whatever_reads_the_number_of_images() -> None:
    class Sized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.out = nn.Conv2d(3, 4, 1), nn.Linear(256, 2)

        def forward(self, x: Tensor) -> Tensor:
            flat = torch.relu(self.conv(x)).reshape(x.shape[:1] + (-1,))  # noqa: RUF005  (as users do)
            out: Tensor = self.out(flat)
            return out

    torch.manual_seed(0)
    first, last = wiring(
        convert(Sized(), images(4), method="data-norm").network.body, SHAPE
    ).synapses
    assert (first.static, last.static) == (True, False)


def test_layers_without_neurons_between_them_multiply() -> None:
    body = trace(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 5)))
    swap_activations(body, lambda name, activation: Neuron())
    assert [s.analogue for s in wiring(body, (4,)).synapses] == [True, True, False]


def test_a_pooled_value_is_multiplied_once() -> None:
    """Where nothing is 0 the effective MACs are the dense ones, also behind pooling."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 2, 3, stride=2),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 5),
    )  # fmt: skip
    with torch.no_grad():
        for layer in model:
            for parameter in layer.parameters():
                parameter.fill_(0.1)
    counter = EffectiveMacs(trace(model), (3, 8, 8))
    with torch.no_grad():
        counter.run(torch.ones(2, 3, 8, 8))
        dense = sum(s.operations for s in counter.wires.synapses)
        assert counter.total == 2 * dense
        x = torch.ones(1, 3, 8, 8)
        x[0, :, :4] = 0.0  # rows 3 to 7 of the first map are not 0, and so pooled rows 1 to 3
        model[0].bias.fill_(-0.1)
        counter.total = 0.0
        counter.run(x)
    first = 3 * 4 * 22 * (4 * 3 - 1)  # rows 4 to 7: read by three rows each, the last by two
    second = 2 * 4 * 2 * 3  # the kernel's one place reads rows 0 to 2
    assert counter.total == first + second + 2 * 5


def test_effective_macs_count_activations_that_are_not_zero() -> None:
    """No input is 0: 4·3 MACs per image; behind the ReLU one per active unit and class."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    x = torch.rand(10, 4) + 0.1
    counter = EffectiveMacs(trace(model), (4,))
    with torch.no_grad():
        counter.run(x)
        active = int((F.relu(model[0](x)) != 0).sum())
    assert 0 < active < 30
    assert counter.images == 10
    assert counter.total == 10 * 12 + 2 * active
