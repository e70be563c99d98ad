"""Sums over spikes: equal to float64 for any layer, and built safely or not at all."""

from __future__ import annotations

import copy
import ctypes
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from conversion import convert
from network.compiled import building as building_module
from network.compiled.building import NoCompiler, built, find_compiler
from network.fixed import fixed_point
from network.operators import Window, float64_units
from network.sums import Kernel, Layer, NoKernel, Reading, break_even, load_kernel, pack_rows
from network.sums import kernel as kernel_module
from network.unroll import SpikingNetwork
from tests.small_networks import SHAPE, images, network


def kernel() -> Kernel:
    try:
        find_compiler()
    except NoCompiler as error:
        pytest.skip(str(error))
    return load_kernel()


def last(x: Tensor) -> Tensor:
    """Laid out with channels last, also where there is one channel."""
    if x.ndim != 4:
        return x.contiguous()
    return torch.empty_like(x, memory_format=torch.channels_last).copy_(x)


@dataclass(frozen=True)
class Given:
    """A layer drawn at random, as the kernel takes it and as float64 computes it."""

    layer: Layer
    currents: Tensor  # float64 [T, B, C, ...] of everything that arrives
    theta: Tensor
    start: Tensor


SIZES = st.integers(1, 9)


@st.composite
def layers(draw: st.DrawFn) -> Given:
    """Steps, images, sizes, windows, weights of 8 or 16 bits, numbers of spikes, what else adds."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    steps, batch = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    inputs, outputs = draw(st.integers(1, 40)), draw(st.integers(1, 150))
    largest = draw(st.sampled_from([1, 1, 4, 100]))
    limit = draw(st.sampled_from([127, 32512, 2**19 if largest == 1 else 127]))
    share = draw(st.sampled_from([0.0, 0.05, 0.3, 1.0]))
    linear = draw(st.booleans())
    pairs = [draw(st.tuples(st.integers(low, 3), st.integers(low, 3))) for low in (1, 1, 0, 1)]
    (kh, kw), stride, padding, dilation = pairs
    height = draw(SIZES) + (kh - 1) * dilation[0]
    width = draw(SIZES) + (kw - 1) * dilation[1]

    def whole(low: int, high: int, *size: int) -> Tensor:
        return torch.randint(low, high + 1, size, generator=generator)

    size = (steps * batch, inputs) if linear else (steps * batch, inputs, height, width)
    spiking = torch.rand(size, generator=generator) < share
    x = (whole(1, largest, *size) * spiking).to(torch.uint8)
    if linear:
        window, weight = None, whole(-limit, limit, outputs, inputs)
        currents = F.linear(x.double(), weight.double())
    else:
        window, weight = (
            Window(stride, padding, dilation, 1),
            whole(-limit, limit, outputs, inputs, kh, kw),
        )
        currents = F.conv2d(x.double(), weight.double(), None, stride, padding, dilation)
    v = whole(-limit, limit, batch, *currents.shape[1:]).int()
    theta, bias = whole(1, 3 * limit, outputs).int(), whole(-limit, limit, outputs).int()
    layer = Layer(
        v=last(v),
        theta=theta,
        bias=bias,
        constant=None,
        spikes=last(torch.full(currents.shape, 7, dtype=torch.uint8)),
        counts=torch.full((steps, batch, currents[0, 0].numel()), 7, dtype=torch.int32),
        hard=draw(st.booleans()),
        readings=[Reading(last(x), pack_rows(weight, window), largest)],
    )
    per_channel = (-1, *([1] * (currents.ndim - 2)))
    total = currents.unflatten(0, (steps, batch)) + bias.double().view(per_channel)
    if draw(st.booleans()):
        layer.constant = last(whole(-limit, limit, *v.shape).int())
        total = total + layer.constant.double()
    if draw(st.booleans()):
        more = last(whole(-limit, limit, *currents.shape))
        layer.results = [(more.float(), 256), (more.int(), 1)]
        total = total + 257 * more.double().unflatten(0, (steps, batch))
    if draw(st.booleans()):
        spikes, each = whole(0, 1, *currents.shape), whole(-limit, limit, 1, *v.shape[1:])
        layer.shortcuts = [(last(spikes.to(torch.uint8)), last(each.int()))]
        total = total + (spikes * each).double().unflatten(0, (steps, batch))
    if draw(st.booleans()):
        layer.readings.append(layer.readings[0])
        total = total + currents.unflatten(0, (steps, batch))
    return Given(layer, total, theta.double().view(per_channel), v.double())


@settings(max_examples=60, deadline=None)
@given(layers(), st.integers(1, 3))
def test_spikes_potentials_and_counts_equal_float64(drawn: Given, threads: int) -> None:
    layer = drawn.layer
    kernel().run(layer, threads)
    v, spikes = drawn.start, []
    for z in drawn.currents:
        charged = v + z
        fired = (charged >= drawn.theta).double()
        v = charged * (1 - fired) if layer.hard else charged - fired * drawn.theta
        spikes.append(fired)
    expected = torch.stack(spikes)
    assert torch.equal(layer.v.double(), v)
    assert torch.equal(layer.spikes.double(), expected.flatten(0, 1))
    assert torch.equal(layer.counts.double(), expected.sum(2).view(layer.counts.shape))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("outputs", [16, 64, 128])
@pytest.mark.parametrize(
    ("limit", "inputs", "spikes"),
    [
        (127, 600, 100),  # 60,000 rows, 234 times 256
        (127 * 257, 600, 4),
        (127 * 65793, 256, 1),  # 256 rows; more would pass 32 bits
    ],
)
def test_the_largest_sums_do_not_overflow(
    limit: int, inputs: int, spikes: int, outputs: int, sign: int
) -> None:
    weight = torch.full((outputs, inputs), sign * limit)
    layer = Layer(
        v=torch.zeros(1, outputs, dtype=torch.int32),
        theta=torch.full((outputs,), 2**31 - 1, dtype=torch.int32),
        bias=torch.zeros(outputs, dtype=torch.int32),
        constant=None,
        spikes=torch.zeros(1, outputs, dtype=torch.uint8),
        counts=torch.zeros(1, 1, 1, dtype=torch.int32),
        hard=False,
    )
    arriving = torch.full((1, inputs), spikes, dtype=torch.uint8)
    layer.readings = [Reading(arriving, pack_rows(weight, None), spikes)]
    kernel().run(layer)
    assert layer.v.unique().tolist() == [sign * limit * inputs * spikes]


@pytest.mark.parametrize("width", [16, 32, 64])
def test_vectors_of_any_width_give_the_same(width: int) -> None:
    native = kernel()
    other = Kernel(ctypes.CDLL(str(built(kernel_module.SOURCE, f"-DWIDTH={width}"))))

    @settings(max_examples=40, deadline=None)
    @given(layers())
    def check(drawn: Given) -> None:
        own = copy.deepcopy(drawn.layer)
        native.run(own)
        other.run(drawn.layer)
        for name in ("v", "spikes", "counts"):
            assert torch.equal(getattr(own, name), getattr(drawn.layer, name)), name

    check()


def test_a_layer_that_is_laid_out_otherwise_is_refused() -> None:
    shape = (2, 3, 4, 4)
    layer = Layer(
        v=torch.zeros(shape, dtype=torch.int32),
        theta=torch.ones(3, dtype=torch.int32),
        bias=torch.zeros(3, dtype=torch.int32),
        constant=None,
        spikes=last(torch.zeros(shape, dtype=torch.uint8)),
        counts=torch.zeros(1, 2, 16, dtype=torch.int32),
        hard=False,
    )
    with pytest.raises(ValueError, match="channels last"):
        kernel().run(layer)


def test_break_even_is_a_share() -> None:
    assert 0.0 <= break_even(kernel(), float64_units("wanted by a test"), 2, 1) <= 1.0


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of its own, and nothing remembered from before or for later."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load_kernel.cache_clear()
    yield tmp_path
    load_kernel.cache_clear()


def source_in(tmp_path: Path, text: str) -> Path:
    source = tmp_path / "small.c"
    source.write_text(text)
    return source


def test_a_library_is_compiled_once(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        find_compiler()
    except NoCompiler as error:
        pytest.skip(str(error))
    source = source_in(own_cache, "int one(void) { return 1; }\n")
    library = built(source)
    assert library.exists()
    assert [file.suffix for file in library.parent.iterdir()] == [".so"]  # nothing half written

    def never(*arguments: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(building_module, "_compile", never)
    assert built(source) == library
    source.write_text("int one(void) { return 2; }\n")
    with pytest.raises(AssertionError, match="again"):
        built(source)


def test_what_does_not_compile_is_one_line(own_cache: Path) -> None:
    try:
        find_compiler()
    except NoCompiler as error:
        pytest.skip(str(error))
    with pytest.raises(NoCompiler, match=r"small\.c") as raised:
        built(source_in(own_cache, "int one(void) { return wrong; }\n"))
    assert "\n" not in str(raised.value)
    assert not list((own_cache / "isospike" / "compiled").iterdir())


def test_a_compiler_that_hangs_is_one_line(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*arguments: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("cc", 1)

    monkeypatch.setattr(building_module, "find_compiler", lambda: __file__)
    monkeypatch.setattr(building_module, "_processor", list)  # it may ask a process of its own
    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(NoCompiler, match="TimeoutExpired"):
        built(source_in(own_cache, ""))


def test_without_a_compiler_pytorch_runs_alone(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    snn = convert_small()
    fixed = fixed_point(snn, SHAPE, 16)
    assert fixed.plan.arithmetic.kernel is None
    assert "no C compiler here (no-such-compiler)" in fixed.note
    assert "\n" not in fixed.note
    with pytest.raises(NoKernel, match="no-such-compiler"):
        fixed_point(snn, SHAPE, 16, events=True)


def test_a_kernel_that_disagrees_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel()
    load_kernel.cache_clear()
    with monkeypatch.context() as wrong:
        wrong.setattr(kernel_module, "_agrees", lambda *arguments: False)
        fixed = fixed_point(convert_small(), SHAPE, 16)
    load_kernel.cache_clear()
    assert fixed.plan.arithmetic.kernel is None
    assert "does not agree with float64" in fixed.note


def convert_small() -> SpikingNetwork:
    return convert(network("plain"), images(16), method="channel-norm").network
