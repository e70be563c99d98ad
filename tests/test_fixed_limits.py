"""Fixed point: what it refuses, where it saturates, and the arithmetic of its parts."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.sections import threads
from conversion import convert
from network import operators
from network.fixed import NotFixedPoint, fixed_point, unroll_fixed
from network.fixed.firing import Membrane, fire_by_kernel, fire_plainly
from network.fixed.plan import Current, Fire
from network.fixed.pooling import max_pooling_of, sum_pool_of
from network.fixed.static import exact_bits, round_to_bits
from network.functional import GlobalMax
from network.graph import swap_activations, trace
from network.neurons import Dynamics, Neuron
from network.operators import MATRIX_PRODUCTS, Window, _pack_8_bit, find_units
from network.sums import NoKernel, load_kernel
from network.unroll import SpikingNetwork
from tests.fixed_point import Recorder, converted, fixed, run
from tests.small_networks import SHAPE, images, network


class AddedBehindPooling(nn.Module):
    """A shortcut meets a current that was pooled."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.wide = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.pool, self.short = nn.MaxPool2d(2), nn.Conv2d(4, 4, 2, stride=2)
        self.head = nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        return self.head(F.relu(self.pool(self.wide(x)) + self.short(x)).flatten(1))


def added_behind_pooling() -> SpikingNetwork:
    return convert(AddedBehindPooling().eval(), images(4), method="data-norm").network


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (added_behind_pooling, "reads a current behind max pooling"),
        (lambda: converted("plain", encoding="poisson-signed"), "poisson-signed"),
        (lambda: leaky(), "leaks"),
    ],
)
def test_other_networks_are_refused_in_one_line(make, reason: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NotFixedPoint, match=reason) as raised:
        fixed_point(make(), SHAPE, 16)
    assert "\n" not in str(raised.value)


class Shuffled(nn.Module):
    """Rows and channels change places in front of a pooling: heights differ in one channel."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.act, self.pool = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)
        self.head = nn.Linear(128, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(self.act(self.layer(x)).permute(0, 2, 1, 3)).flatten(1))


def test_a_pool_over_different_heights_is_refused() -> None:
    snn = convert(Shuffled(), images(6), method="channel-norm").network
    with pytest.raises(NotFixedPoint, match=r"pool .*different heights in one channel"):
        fixed_point(snn, SHAPE, 16)


def leaky() -> SpikingNetwork:
    body = trace(network("plain"))
    swap_activations(body, lambda name, old: Neuron(Dynamics(0.9)))
    return SpikingNetwork(body).eval()


@pytest.mark.parametrize("events", [True, False])
def test_potentials_are_held_at_30_bits_and_counted(events: bool) -> None:
    # −20 θ at every step: after 2,000 steps far below −2³⁰, from where no neuron comes back
    snn = converted("plain")
    name, second = list(snn.neurons().items())[1]
    second.shift = -20.0 * second.theta
    for chunk in (1, 4):
        held: Counter[str] = Counter()
        tap = Recorder()
        network = fixed(snn, 24, events=events)
        unroll_fixed(network, images(2), 2000, chunk=chunk, taps=[tap], held=held)
        assert not tap.spikes[name].any()
        assert held[name] == tap.spikes[name][0].numel()


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_a_held_potential_goes_on_from_the_limit(reset: str) -> None:
    """In C and in PyTorch: from −7 up or down by 5 at every step, held at ±10; no neuron fires."""
    try:
        kernel = load_kernel()
    except NoKernel as error:
        pytest.skip(str(error))
    current = Current(None, (), ("input",), torch.ones(1, 1), torch.zeros(1, 1), 0.0)
    layer = Fire("n", current, torch.full((1, 16), 1000).int(), torch.zeros(1, 16).int(), reset)
    found = []
    for sign in (1, -1):
        v = torch.full((1, 16), -7).int()
        membrane = Membrane(
            v, torch.full((1, 16), sign * 5).int(), torch.zeros(3, 16, dtype=torch.uint8),
            torch.zeros(3, 1, 1, dtype=torch.int32), limit=10,
        )  # fmt: skip
        plain = replace(membrane, v=v.clone())
        fire_plainly(layer, plain, {}, 3)
        fire_by_kernel(kernel, layer, membrane, {}, {}, 3)
        assert torch.equal(plain.v, v)
        found.append(v.unique().tolist())
    assert found == [[8], [-10]]  # −7 + 15; −12 held at −10 each time


@pytest.mark.parametrize(("bits", "starts"), [(8, 0.0), (8, 100.0), (24, 7.0)])
def test_a_constant_current_saturates_without_changing_a_spike(bits: int, starts: float) -> None:
    # 300 θ at every step leaves 299 θ more: 2²¹·299·64 is above 2³⁰; −300 θ never fires, also
    # from the largest starts that whole numbers hold
    for shift, rate in ((300.0, 1.0), (-300.0, 0.0)):
        snn = converted("plain")
        name, first = next(iter(snn.neurons().items()))
        first.shift = shift * first.theta
        first.start = -starts * first.theta if rate else starts * first.theta
        tap = Recorder()
        unroll_fixed(fixed_point(snn, SHAPE, bits), images(2), 64, taps=[tap])
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


@pytest.mark.parametrize(
    ("module", "by_kernel"),
    [
        (nn.MaxPool2d(2), True),
        (nn.MaxPool2d((2, 3)), True),  # two columns are in no window
        (nn.MaxPool2d(3, ceil_mode=True), True),  # the last window is cut off
        (nn.MaxPool2d(3, stride=2, padding=1), True),
        (nn.MaxPool2d(3, stride=1), True),
        (nn.MaxPool2d((1, 2), stride=(3, 2)), True),  # rows are left out
        (nn.MaxPool2d(2, dilation=2, stride=2), False),
        (nn.AdaptiveMaxPool2d(1), True),
        (nn.AdaptiveMaxPool2d((2, None)), True),
        (nn.AdaptiveMaxPool2d(3), False),
        (GlobalMax(), True),
    ],
)
@pytest.mark.parametrize("encoding", ["constant", "poisson"])
def test_any_max_pooling_of_currents_is_the_same_by_events(
    module: nn.Module, by_kernel: bool, encoding: str
) -> None:
    assert (max_pooling_of(module, 8, 8) is not None) == by_kernel
    snn = behind_max_pooling(module, encoding)
    spikes, outputs = run(fixed(snn, 16, events=False), images(5, seed=8))
    other_spikes, other_outputs = run(fixed(snn, 16, events=True), images(5, seed=8), chunk=3)
    assert torch.equal(outputs, other_outputs)
    for layer, value in spikes.items():
        assert value.any(), layer
        assert torch.equal(value, other_spikes[layer]), layer


def behind_max_pooling(module: nn.Module, encoding: str) -> SpikingNetwork:
    """Max pooling of currents from 20 spiking maps of 8 × 8."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        first = [nn.Conv2d(3, 20, 3, padding=1), nn.ReLU()]
        second = [nn.Conv2d(20, 40, 3, padding=1), module, nn.ReLU(), nn.Flatten()]
        body = nn.Sequential(*first, *second, nn.LazyLinear(5))
        body(images(1))
    return convert(body, images(16), method="channel-norm", encoding=encoding).network


def test_inner_operators_of_torch_are_called_in_one_file() -> None:
    """They carry no promise: a torch that changes them is met in one place."""
    top = Path(operators.__file__).parents[1]
    rooms = ("network", "conversion", "direct", "compare", "reports", "benchmarks")
    inner = re.compile(r"torch\.(ops\b|_[a-z])")
    sources = [file for room in rooms for file in (top / room).rglob("*.py")]
    found = [file.name for file in sources if inner.search(file.read_text(encoding="utf-8"))]
    assert found == ["operators.py"]


def test_units_say_which_arithmetic_runs() -> None:
    units = find_units(255)
    assert "\n" not in units.note
    assert units.pack is _pack_8_bit or "float64" in units.note
    assert "up to 127" in find_units(255, "cuda").note


@pytest.mark.parametrize("largest", [127, 32512])
@pytest.mark.parametrize(
    ("channels", "size", "kernel", "window"),
    [
        (16, 9, 3, Window((1, 1), (1, 1), (1, 1), 1)),
        (3, 9, 5, Window((2, 1), (2, 0), (1, 1), 1)),  # 75 features: filled up to 80
        (8, 9, 3, Window((1, 1), (2, 2), (2, 2), 1)),
        (8, 4, 1, Window((2, 2), (0, 0), (1, 1), 1)),
        (4, 4, 4, Window((1, 1), (0, 0), (1, 1), 1)),  # fewer rows than a product takes
        (4, 4, 3, Window((1, 1), (1, 1), (1, 1), 2)),
    ],
)
def test_matrix_products_are_convolutions(
    largest: int, channels: int, size: int, kernel: int, window: Window
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 128, (2, channels, size, size), generator=generator).to(torch.uint8)
    shape = (10, channels // window.groups, kernel, kernel)
    weight = torch.randint(-largest, largest + 1, shape, generator=generator).double()
    bias = torch.randint(-1000, 1000, (10,), generator=generator).double()
    place = (window.stride, window.padding, window.dilation, window.groups)
    expected = F.conv2d(x.double(), weight, bias, *place)
    assert torch.equal(MATRIX_PRODUCTS.pack(weight, bias, window)(x).double(), expected)


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
