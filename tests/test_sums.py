"""Sums over spikes: equal to float64 for any layer."""

from __future__ import annotations

import copy
import ctypes
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from network.compiled.building import built
from network.operators import Window, float64_units
from network.sums import Kernel, Layer, Pooling, Reading, break_even, pack_rows
from network.sums import kernel as kernel_module
from tests.compiled import kernel


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
    totals: Tensor | None = None  # in front of max pooling, after the last step
    reached: list[int] | None = None  # the rows of them that are in a window


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
    given = Given(layer, total, theta.double().view(per_channel), v.double())
    return given if linear or draw(st.booleans()) else pooled(draw, given)


def pooled(draw: st.DrawFn, drawn: Given) -> Given:
    """The same currents behind max pooling, after steps that summed up to others."""
    layer, (height, width) = drawn.layer, drawn.currents.shape[-2:]
    kernel = draw(st.integers(1, min(4, height))), draw(st.integers(1, min(4, width)))
    stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = tuple(draw(st.integers(0, size // 2)) for size in kernel)
    before = drawn.start.flip(1)
    totals = torch.cat([before[None], drawn.currents]).cumsum(0)
    largest = F.max_pool2d(totals.flatten(0, 1), kernel, stride, padding)
    largest = largest.unflatten(0, (len(totals), -1))
    rows, columns = largest.shape[-2:]
    layer.pooling, layer.totals = Pooling(kernel, stride, padding), last(before.long())
    start = drawn.start[..., torch.arange(rows) % height, :][..., torch.arange(columns) % width]
    layer.v = last(start.int())
    layer.spikes = last(torch.full((*layer.spikes.shape[:2], rows, columns), 7, dtype=torch.uint8))
    layer.counts = torch.full((*layer.counts.shape[:2], rows * columns), 7, dtype=torch.int32)
    firsts = range(-padding[0], rows * stride[0] - padding[0], stride[0])
    reached = sorted({row for y in firsts for row in range(y, y + kernel[0]) if 0 <= row < height})
    return Given(layer, largest.diff(dim=0), drawn.theta, start, totals[-1], reached)


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
    if drawn.totals is not None:
        rows = drawn.reached
        assert torch.equal(layer.totals[:, :, rows].double(), drawn.totals[:, :, rows])


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
        for name in ("v", "spikes", "counts", "totals"):
            one, two = getattr(own, name), getattr(drawn.layer, name)
            assert one is two if one is None else torch.equal(one, two), name

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
