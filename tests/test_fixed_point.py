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
from network.encodings import ENCODINGS, image_keys
from network.fixed import FixedPointNetwork, NotFixedPoint, fixed_point, unroll_fixed
from network.fixed.integers import STATIC_STEPS, _split
from network.fixed.pooling import sum_pool_of
from network.fixed.static import exact_bits, round_to_bits
from network.graph import Kind, layers, swap_activations, trace
from network.neurons import Dynamics, Neuron
from network.operators import Units, Window, _pack_8_bit, find_units, float64_units
from network.sums.building import NoCompiler, find_compiler
from network.unroll import SpikingNetwork, unroll
from tests.small_networks import SHAPE, images, network

STEPS = 12
REFERENCE = float64_units("wanted by a test")


class Recorder:
    """Keeps every spike: name -> [T, B, ...]."""

    def __init__(self) -> None:
        self.found: dict[str, list[Tensor]] = {}

    def inputs(self, first: int, inputs: Tensor) -> None:
        del first, inputs

    def count(self, name: str, first: int, spikes: Tensor, places: Tensor | None) -> None:
        del first, places
        self.found.setdefault(name, []).append(spikes.clone())

    @property
    def spikes(self) -> dict[str, Tensor]:
        return {name: torch.cat(chunks) for name, chunks in self.found.items()}


def run(
    fixed: FixedPointNetwork, x: Tensor, *, batch: int = 32, chunk: int | None = None
) -> tuple[dict[str, Tensor], Tensor]:
    """Spikes of every layer [T, B, ...] and outputs [T, B, K], worked through in batches."""
    found, outputs = [], []
    for indices in torch.arange(len(x)).split(batch):
        tap, keys = Recorder(), image_keys(3, indices)
        outputs.append(unroll_fixed(fixed, x[indices], STEPS, keys=keys, chunk=chunk, taps=[tap]))
        found.append(tap.spikes)
    spikes = {name: torch.cat([part[name] for part in found], 1) for name in found[0]}
    return spikes, torch.cat(outputs, 1)


def fixed(
    snn: SpikingNetwork, bits: int, *, units: Units | None = None, events: bool | None = None
) -> FixedPointNetwork:
    """In whole numbers; a test of events is skipped where there is no compiler."""
    if events:
        try:
            find_compiler()
        except NoCompiler as error:
            pytest.skip(str(error))
    return fixed_point(snn, SHAPE, bits, units=units, events=events)


def converted(name: str, *, encoding: str = "constant", reset: str = "soft") -> SpikingNetwork:
    return convert(
        network(name), images(16), method="channel-norm", encoding=encoding, reset=reset
    ).network


def int64_reference(snn: SpikingNetwork, x: Tensor, bits: int, keys: Tensor) -> dict[str, Tensor]:
    """METHODS.md section 9 for a chain of layers, step by step, in whole numbers of 64 bits."""
    largest = {8: 127, 16: 32512}[bits]
    modules = [(n, snn.body.get_submodule(str(n.target))) for n in snn.body.graph.nodes
               if n.op == "call_module"]  # fmt: skip
    state: dict[str, Tensor] = {}
    spikes: dict[str, list[Tensor]] = {}
    for t in range(STEPS):
        value, height, current, sigma = None, None, None, None
        if snn.encoding == "poisson":
            value = ENCODINGS.get("poisson").encode(x, t, 1, keys).long()
            height = torch.ones(x.shape[1], dtype=torch.float64)
        for position, (node, module) in enumerate(modules):
            if isinstance(module, nn.Conv2d | nn.Linear):
                theta = torch.ones(())
                for _, later in modules[position:]:
                    if isinstance(later, Neuron):
                        theta = later.theta.double()
                        break
                else:
                    break  # the output layer: no more spikes
                shaped = (-1, *([1] * (module.weight.ndim - 1)))
                if value is None:
                    bits_held = exact_bits(module.weight[0].numel())
                    exact = round_to_bits(module.weight.double(), module.weight.ndim, bits_held)
                    pixels = round_to_bits(x.double(), 3, bits_held)
                    z = F.conv2d(pixels, exact, padding=module.padding)
                    if module.bias is not None:
                        z = z + module.bias.double().view(1, -1, 1, 1)
                    sigma = (theta / STATIC_STEPS).expand(len(module.weight))
                    current = (z / sigma.view(1, -1, 1, 1)).round().long()
                    continue
                per_input = height.view(1, -1, *([1] * (module.weight.ndim - 2)))
                weight = module.weight.double() * per_input
                sigma = weight.abs().flatten(1).amax(1) / largest
                q = (weight / sigma.view(shaped)).round()
                bias = torch.zeros(len(q)) if module.bias is None else module.bias
                b = (bias.double() / sigma).round()
                if module.weight.ndim == 4:
                    current = F.conv2d(value.double(), q, b, padding=module.padding).long()
                else:
                    current = F.linear(value.double(), q, b).long()
            elif isinstance(module, Neuron):
                view = (1, -1, *([1] * (current.ndim - 2)))
                theta = (module.theta.double() / sigma).round().long().view(view)
                v = state.get(node.name)
                if v is None:
                    v = (module.start.double() / sigma).round().long().view(view).expand_as(current)
                v = v + current
                value = (v >= theta).long()
                soft = module.dynamics.reset == "soft"
                state[node.name] = v - theta * value if soft else v * (1 - value)
                spikes.setdefault(node.name, []).append(value)
                height = module.theta.double().expand(value.shape[1])
            elif isinstance(module, nn.AvgPool2d):
                value = (F.avg_pool2d(value.double(), module.kernel_size) * 4).round().long()
                height = height / 4
            elif isinstance(module, nn.Flatten):
                height = height.repeat_interleave(value[0, 0].numel())
                value = value.flatten(1)
    return {name: torch.stack(values) for name, values in spikes.items()}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("encoding", ["constant", "poisson"])
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("events", [None, True, False])
def test_spikes_equal_an_int64_reference(
    bits: int, encoding: str, reset: str, events: bool | None
) -> None:
    snn = converted("plain", encoding=encoding, reset=reset)
    x = images(9, seed=5)
    spikes, _ = run(fixed(snn, bits, events=events), x)
    expected = int64_reference(snn, x, bits, image_keys(3, torch.arange(9)))
    assert set(spikes) == set(expected)
    assert len(spikes) == 3
    for name, wanted in expected.items():
        assert torch.equal(spikes[name].long(), wanted), name
        assert 0.01 < wanted.double().mean() < 0.99


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", ["plain", "residual-plain"])
def test_batch_chunk_threads_and_arithmetic_never_change_a_spike(bits: int, name: str) -> None:
    snn = residual_network() if name == "residual-plain" else converted(name)
    x = images(32, seed=6)
    spikes, outputs = run(fixed(snn, bits, units=REFERENCE, events=False), x)
    others = [  # dense operators, events, images in a batch, chunk, threads
        (None, None, 32, None, 1),
        (REFERENCE, None, 32, None, 2),
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


@pytest.mark.parametrize("make", [lambda: converted("plain"), residual_network])
def test_sixteen_bits_stay_close_to_float32(make) -> None:  # type: ignore[no-untyped-def]
    snn = make()
    x = images(32, seed=7)
    scores = snn.read(unroll(snn, x, 64)).double()
    outputs = unroll_fixed(fixed_point(snn, SHAPE, 16), x, 64)
    far = fixed_point(snn, SHAPE, 16).read(outputs)[-1] - scores[-1]
    assert far.abs().max() < 0.1 * scores[-1].abs().max()


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
    (low, one), (high, many) = _split(torch.tensor([32512.0, 200, -32512, -129, 127]), 127)
    assert (one, many) == (1, 256)
    assert low.tolist() == [0, -56, 0, 127, 127]
    assert high.tolist() == [127, 1, -127, -1, 0]


@pytest.mark.parametrize("events", [None, True, False])
def test_digest_of_a_committed_network(events: bool | None) -> None:
    """Weights and images by arithmetic: a machine whose spikes differ is found here."""
    pixels = (torch.arange(6 * 3 * 64, dtype=torch.float64) * 0.6180339887498949).frac()
    network = fixed(committed_network(), 16, events=events)
    spikes, _ = run(network, pixels.float().view(6, 3, 8, 8))
    digest = hashlib.sha256()
    for name in sorted(spikes):
        digest.update(spikes[name].contiguous().numpy().tobytes())
    assert 0.05 < torch.cat([s.flatten() for s in spikes.values()]).double().mean() < 0.5
    assert digest.hexdigest()[:32] == "bde37189f3eca50fba1ecb8a49187aa4"


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


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: converted("max-pooled"), "PooledCurrent"),
        (lambda: converted("plain", encoding="poisson-signed"), "poisson-signed"),
        (lambda: leaky(), "leaks"),
    ],
)
def test_other_networks_are_refused_in_one_line(make, reason: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NotFixedPoint, match=reason) as raised:
        fixed_point(make(), SHAPE, 16)
    assert "\n" not in str(raised.value)


def leaky() -> SpikingNetwork:
    body = trace(network("plain"))
    swap_activations(body, lambda name, old: Neuron(Dynamics(0.9)))
    return SpikingNetwork(body).eval()


def test_a_potential_that_passes_30_bits_is_refused() -> None:
    snn = converted("plain")
    second = list(snn.neurons().values())[1]
    second.shift = -20.0 * second.theta
    with pytest.raises(NotFixedPoint, match="30 bits"):
        unroll_fixed(fixed_point(snn, SHAPE, 16), images(2), 2000)


def test_a_constant_current_saturates_without_changing_a_spike() -> None:
    # 100 θ at every step leaves 99 θ more: 2²¹·99·64 is above 2³⁰; −100 θ never fires
    for shift, rate in ((100.0, 1.0), (-100.0, 0.0)):
        snn = converted("plain")
        name, first = next(iter(snn.neurons().items()))
        first.shift = shift * first.theta
        tap = Recorder()
        unroll_fixed(fixed_point(snn, SHAPE, 8), images(2), 64, taps=[tap])
        assert tap.spikes[name].double().mean() == rate


@pytest.mark.parametrize(
    ("module", "channels"),
    [
        (nn.AvgPool2d(2), 8),
        (nn.AvgPool2d(2), 20),
        (nn.AvgPool2d(3), 6),
        (nn.AvgPool2d((2, 4)), 5),
        (nn.AvgPool2d(3, stride=2, padding=1), 8),
        (nn.AvgPool2d(2, divisor_override=3), 4),
        (nn.AdaptiveAvgPool2d(1), 8),
        (nn.AdaptiveAvgPool2d((3, None)), 8),
    ],
)
def test_sum_pool_is_average_pooling_times_its_divisor(module: nn.Module, channels: int) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 3, (4, channels, 9, 9), generator=generator).to(torch.uint8)
    pool = sum_pool_of(module, 9, 9)
    assert pool is not None
    summed = pool(x.contiguous(memory_format=torch.channels_last), 2)
    assert summed.dtype == torch.uint8
    assert torch.equal(summed.double(), (module(x.double()) * pool.divisor).round())


def test_pools_without_one_divisor_have_no_sum() -> None:
    assert sum_pool_of(nn.AvgPool2d(2, padding=1, count_include_pad=False), 8, 8) is None
    assert sum_pool_of(nn.AvgPool2d(3, stride=2, ceil_mode=True), 8, 8) is None
    assert sum_pool_of(nn.AdaptiveAvgPool2d(3), 8, 8) is None


def test_units_say_which_arithmetic_runs() -> None:
    units = find_units(255)
    assert "\n" not in units.note
    assert units.pack is _pack_8_bit or "float64" in units.note
    assert "cuda" in find_units(255, "cuda").note


def test_a_kernel_of_one_with_a_stride_gives_the_same_sums_with_two_threads() -> None:
    units = find_units(1)
    if units.pack is not _pack_8_bit:
        pytest.skip(units.note)
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 2, (7, 8, 8, 8), generator=generator).to(torch.uint8)
    x = x.contiguous(memory_format=torch.channels_last)
    weight = torch.randint(-127, 128, (8, 8, 1, 1), generator=generator).double()
    window = Window((2, 2), (0, 0), (1, 1), 1)
    expected = F.conv2d(x.double(), weight, stride=2)
    with threads(2):
        operator = units.pack(weight, None, window)
        assert all(torch.equal(operator(x).double(), expected) for _ in range(200))


def test_rounding_leaves_exact_sums() -> None:
    # 27 products take 5 bits of 53, 48/2 = 24; 2,048 take 11, 42/2 = 21
    assert (exact_bits(27), exact_bits(2048)) == (24, 21)
    # the largest magnitude 0.7 lies below 2⁰: the grid is 2⁻²²
    x = torch.tensor([[0.7, 0.1 + 2.0**-30]], dtype=torch.float64)
    rounded = round_to_bits(x, 1, 22)
    assert torch.equal(rounded * 2**22, (x * 2**22).round())
    assert round_to_bits(torch.zeros(1, 3, dtype=torch.float64), 1, 22).tolist() == [[0, 0, 0]]
