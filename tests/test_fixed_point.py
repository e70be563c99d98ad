"""Fixed point: spikes equal to an int64 reference, bit for bit, whatever the batch or the chunk."""

from __future__ import annotations

import hashlib

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.sections import threads
from conversion import convert
from network.activity import count_activity
from network.encodings import image_keys
from network.fixed import NotFixedPoint, fixed_point, unroll_fixed
from network.fixed.integers import _split
from network.graph import Kind, layers, swap_activations, trace
from network.neurons import Dynamics, Neuron
from network.observation import Observation, carry_on, delayed
from network.operators import MATRIX_PRODUCTS
from network.unroll import SpikingNetwork, unroll
from tests.fixed_point import REFERENCE, STEPS, Recorder, converted, fixed, int64_reference, run
from tests.small_networks import SHAPE, images


@pytest.mark.parametrize("bits", [8, 16, 24])
@pytest.mark.parametrize("encoding", ["constant", "poisson"])
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("events", [None, True, False])
@pytest.mark.parametrize("name", ["plain", "max-pooled"])
def test_spikes_equal_an_int64_reference(
    name: str, bits: int, encoding: str, reset: str, events: bool | None
) -> None:
    snn = converted(name, encoding=encoding, reset=reset)
    x = images(9, seed=5)
    spikes, _ = run(fixed(snn, bits, events=events), x)
    expected = int64_reference(snn, x, bits, image_keys(3, torch.arange(9)))
    assert set(spikes) == set(expected)
    for layer, wanted in expected.items():
        assert torch.equal(spikes[layer].long(), wanted), layer
        assert 0.01 < wanted.double().mean() < 0.99


@pytest.mark.parametrize("bits", [8, 16, 24])
@pytest.mark.parametrize("name", ["plain", "residual-plain", "max-pooled"])
def test_batch_chunk_threads_and_arithmetic_never_change_a_spike(bits: int, name: str) -> None:
    snn = residual_network() if name == "residual-plain" else converted(name)
    x = images(32, seed=6)
    spikes, outputs = run(fixed(snn, bits, units=REFERENCE, events=False), x)
    others = [  # dense operators, events, images in a batch, chunk, threads
        (None, None, 32, None, 1),
        (REFERENCE, None, 32, None, 2),
        (MATRIX_PRODUCTS, False, 1, None, 2),
        (MATRIX_PRODUCTS, False, 7, None, 1),
        (None, False, 1, None, 1),
        (None, False, 7, 1, 2),
        (None, False, 32, STEPS, 2),
        (None, True, 1, None, 1),
        (None, True, 7, 1, 2),
        (None, True, 32, STEPS, 2),
        (None, True, 32, 5, 1),
    ]
    for units, events, batch, chunk, count in others:
        some = 4 if batch == 1 else 32
        with threads(count):
            other = fixed(snn, bits, units=units, events=events)
            other_spikes, other_outputs = run(other, x[:some], batch=batch, chunk=chunk)
        assert torch.equal(outputs[:, :some], other_outputs)
        for layer, value in spikes.items():
            assert torch.equal(value[:, :some], other_spikes[layer]), layer


class PlainResidual(nn.Module):
    """Identity shortcut, shortcut with weights, pooled shortcut, global average."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.first, self.second = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.third = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2)
        self.shortcut = nn.Conv2d(8, 8, 1, stride=2, bias=False)
        self.fourth = nn.Conv2d(8, 8, 2, stride=2)
        self.halved = nn.AvgPool2d(2)
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(self.second(F.relu(self.first(x))) + x)
        x = F.relu(self.third(x) + self.shortcut(x))
        x = F.relu(self.halved(x) + self.fourth(x))
        return self.head(torch.flatten(self.pool(x), 1))


def residual_network() -> SpikingNetwork:
    generator = torch.Generator().manual_seed(2)
    model = PlainResidual().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            scale = (2.0 / max(1, parameter[0].numel())) ** 0.5 if parameter.ndim > 1 else 0.1
            parameter.normal_(0.0, scale, generator=generator)
    return convert(model, images(16), method="channel-norm").network


@pytest.mark.parametrize(
    "make", [lambda: converted("plain"), residual_network, lambda: converted("max-pooled")]
)
def test_whole_numbers_stay_close_to_float32(make) -> None:  # type: ignore[no-untyped-def]
    snn = make()
    x = images(32, seed=7)
    scores = snn.read(unroll(snn, x, 64)).double()
    outputs = unroll_fixed(fixed_point(snn, SHAPE, 16), x, 64)
    far = fixed_point(snn, SHAPE, 16).read(outputs)[-1] - scores[-1]
    assert far.abs().max() < 0.1 * scores[-1].abs().max()


def test_whole_numbers_are_read_with_the_decay_of_the_network() -> None:
    snn = converted("plain")
    snn.readout, snn.readout_decay = "membrane", 0.5
    outputs = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64).view(3, 1, 1)
    scores = fixed_point(snn, SHAPE, 16).read(outputs)
    assert scores.dtype == torch.float64
    assert scores.flatten().tolist() == [1.0, 0.25, 1.25 / 3]  # 1, 0.5 / 2, (0.25 + 1) / 3


def counts_once(inputs: int, reset: str) -> SpikingNetwork:
    """Weights 0.5 and 0.25 to one neuron of threshold 1, and 3.0 from it to the output."""
    body = trace(nn.Sequential(nn.Linear(inputs, 1, bias=False), nn.ReLU(), nn.Linear(1, 1)))
    swap_activations(body, lambda name, old: Neuron(Dynamics(1.0, reset), height="threshold"))
    with torch.no_grad():
        body.get_submodule("0").weight.copy_(torch.tensor([[0.5, 0.25]]))
        body.get_submodule("2").weight.fill_(3.0)
        body.get_submodule("2").bias.fill_(0.0)
    return SpikingNetwork(body, encoding="poisson").eval()


@pytest.mark.parametrize(("reset", "expected"), [("soft", [0, 1, 1, 1]), ("hard", [0, 1, 0, 1])])
def test_four_steps_by_hand(reset: str, expected: list[int]) -> None:
    # both inputs spike at every step; σ = 0.5/32512, q = (32512, 16256), θ = 1/σ = 65024
    # soft: v = 48768; 97536 ≥ 65024 fires, 32512 left; 81280 fires, 16256 left; 65024 fires, 0
    # hard: v = 48768; 97536 fires, 0; 48768; 97536 fires
    network = fixed_point(counts_once(2, reset), (2,), 16)
    tap = Recorder()
    ones, keys = torch.ones(1, 2), torch.zeros(1, dtype=torch.int64)
    outputs = unroll_fixed(network, ones, 4, keys=keys, taps=[tap])
    assert network.plan.instructions[0].theta.item() == 65024
    assert tap.spikes["_1"].flatten().tolist() == expected
    # the weight 3 is 32512 steps of 3/32512
    assert outputs.flatten().tolist() == pytest.approx([3.0 * s for s in expected], abs=1e-12)


def test_split_into_two_bytes() -> None:
    # 32512 = 256·127 + 0; 200 = 256·1 − 56; −32512 = 256·(−127); −129 = 256·(−1) + 127
    whole = torch.tensor([32512.0, 200, -32512, -129, 127])
    (low, bias_low), (high, bias_high) = _split(whole, torch.tensor([100_000.0]), 127)
    assert low.tolist() == [0, -56, 0, 127, 127]
    assert high.tolist() == [127, 1, -127, -1, 0]
    # 100000 = 256·391 − 96: the last part of a bias is whatever is left
    assert bias_low is not None
    assert bias_high is not None
    assert (bias_low.item(), bias_high.item()) == (-96, 391)


def test_split_into_three_bytes() -> None:
    # 8323072 = 65536·127; −32769 = 65536·(−1) + 256·128 − 1, and 128 = 256 − 128 carries over:
    # −32769 = 65536·0 + 256·(−128) − 1; 32640 = 65536·0 + 256·127 + 128 = 65536 + 256·(−128) − 128
    low, middle, high = (part.tolist() for part, _ in _split(
        torch.tensor([8323072.0, -32769, 32640]), None, 127
    ))  # fmt: skip
    assert low == [0, -1, -128]
    assert middle == [0, -128, -128]
    assert high == [127, 0, 1]


DIGESTS = {16: "bde37189f3eca50fba1ecb8a49187aa4", 24: "8a86200a66b89b7606883277263973ff"}


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("events", [None, True, False])
def test_digest_of_a_committed_network(bits: int, events: bool | None) -> None:
    """Weights and images by arithmetic: a machine whose spikes differ is found here."""
    pixels = (torch.arange(6 * 3 * 64, dtype=torch.float64) * 0.6180339887498949).frac()
    network = fixed(committed_network(), bits, events=events)
    spikes, _ = run(network, pixels.float().view(6, 3, 8, 8))
    digest = hashlib.sha256()
    for name in sorted(spikes):
        digest.update(spikes[name].contiguous().numpy().tobytes())
    assert 0.05 < torch.cat([s.flatten() for s in spikes.values()]).double().mean() < 0.5
    assert digest.hexdigest()[:32] == DIGESTS[bits]


def committed_network() -> SpikingNetwork:
    model = PlainResidual().eval()
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            index = torch.arange(parameter.numel(), dtype=torch.float64) + 100 * number
            spread = (index * 0.7548776662466927).frac() * 2 - 1
            size = (6.0 / max(1, parameter[0].numel())) ** 0.5 if parameter.ndim > 1 else 0.05
            parameter.copy_((spread * size).view_as(parameter))
    body = trace(model)
    swap_activations(body, lambda name, old: Neuron(theta=0.75, height="threshold"))
    return SpikingNetwork(body).eval()


@pytest.mark.parametrize("events", [True, False])
def test_counts_equal_those_of_the_spikes(events: bool) -> None:
    snn = converted("plain", encoding="poisson")
    counter, tap = count_activity(snn, SHAPE, STEPS), Recorder()
    keys = image_keys(0, torch.arange(10))
    unroll_fixed(fixed(snn, 16, events=events), images(10), STEPS, keys=keys, taps=[counter, tap])
    assert counter.images == 10
    assert counter.spikes["input"].sum() > 0
    for name, spikes in tap.spikes.items():
        assert counter.spikes[name].tolist() == spikes.flatten(1).sum(1).tolist()
    # the last linear layer has 5 outputs: every spike of the layer before it drives 5 synapses
    last = [node.name for node, _ in layers(snn.body, Kind.SYNAPSE)][-1]
    before = list(tap.spikes.values())[-1].flatten(1).sum(1)
    assert counter.accumulates[last].tolist() == (5 * before).tolist()


@pytest.mark.parametrize("encoding", ["constant", "poisson"])
@pytest.mark.parametrize("events", [True, False])
def test_a_delayed_answer_is_the_end_of_a_longer_run(encoding: str, events: bool) -> None:
    """Spikes and operations before it count with its first step."""
    late, steps, x, keys = 3, 6, images(10), image_keys(0, torch.arange(10))
    snn = converted("plain", encoding=encoding)
    whole = count_activity(snn, SHAPE, late + steps)
    outputs = unroll_fixed(
        fixed(snn, 16, events=events), x, late + steps, keys=keys,
        taps=[whole.of_whole_numbers()],
    )  # fmt: skip
    snn.observation = delayed(late)
    counter = count_activity(snn, SHAPE, steps).of_whole_numbers()
    for chunk in (None, 1, 2):
        found = unroll_fixed(
            fixed(snn, 16, events=events), x, steps, keys=keys, chunk=chunk, taps=[counter]
        )
        assert torch.equal(found, outputs[late:])
    assert counter.images == 30
    for ours, theirs in ((counter.spikes, whole.spikes), (counter.accumulates, whole.accumulates)):
        assert ours.keys() == theirs.keys()
        for name, counts in theirs.items():
            expected = torch.cat([counts[: late + 1].sum(0, keepdim=True), counts[late + 1 :]])
            assert torch.equal(ours[name], 3 * expected), name


def test_other_observations_are_not_for_whole_numbers() -> None:
    snn = converted("plain")
    snn.observation = Observation(2, carry_on)
    with pytest.raises(NotFixedPoint, match="prepare themselves in steps of observation"):
        fixed(snn, 16)
