"""Kernels of a CPU, and of a CUDA device in Triton's interpreter, beside the loops in PyTorch."""

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from direct.rate_bp import MeanSurrogate
from direct.replay import gather
from direct.spike_bp import LeakCorrected
from direct.surrogates import SURROGATES, surrogate
from network.compiled import loading
from network.compiled.building import NoCompiler
from network.fixed.firing import advance_whole
from network.fixed.parts import Part
from network.fixed.plan import Current, Fire
from network.fused import on_cpu, on_cuda
from network.layout import channels_last, like_each_step
from network.neurons import Dynamics, Neuron, Reset
from network.steps import AdvanceWithGradient, advance
from network.unroll import SpikingNetwork
from tests.compiled import needs_compiler
from tests.fixed_point import converted, fixed, run
from tests.small_networks import images
from tests.test_fixed_point import residual_network


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.delitem(sys.modules, "network.fused.triton_steps", raising=False)
    importlib.reload(on_cuda)
    yield
    monkeypatch.undo()
    sys.modules.pop("network.fused.triton_steps", None)
    importlib.reload(on_cuda)


def both_ways(
    current: Tensor, name: str, decay: float, reset: str, repeats: int = 1
) -> list[Tensor]:
    """Spikes, last potential, gradients of the current and of the first potential."""
    x = current.clone().requires_grad_()
    v = torch.full_like(current[0], 0.25, dtype=torch.float32).requires_grad_()
    theta = torch.tensor(0.75)
    slope = surrogate(name, 1.25)
    spikes, end = AdvanceWithGradient.apply(x, v, theta, decay, reset, slope, repeats)
    weights = torch.linspace(-1, 1, spikes.numel()).view_as(spikes).to(spikes.dtype)
    (spikes * weights).sum().backward()
    assert x.grad is not None
    assert v.grad is not None
    return [spikes.detach(), end.detach(), x.grad, v.grad]


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Neither kernel; undo() brings back that of the CPU."""
    monkeypatch.setattr(on_cpu, "kernel", lambda: None)
    return monkeypatch


@pytest.mark.parametrize("name", list(SURROGATES))
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("layout", ["channels-last", "flat", "the same at every step", "bfloat16"])
@pytest.mark.parametrize("kernels", ["C", "Triton"])
def test_kernels_equal_the_loops(
    name: str, reset: str, layout: str, kernels: str,
    request: pytest.FixtureRequest, loops: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    generator = torch.Generator().manual_seed(3)
    current, repeats = torch.randn(5, 2, 3, 8, 8, generator=generator), 1
    if layout == "channels-last":
        current = like_each_step(
            current[:, :].flatten(0, 1).contiguous(memory_format=torch.channels_last)
            .unflatten(0, (5, 2)), torch.float32,
        ).copy_(current)  # fmt: skip
    elif layout == "flat":
        current = current.flatten(2)
    elif layout == "the same at every step":
        current, repeats = current[:1], 5
    else:
        current = current.bfloat16()
    asked = current, torch.ones(()), surrogate(name, 1.0)
    assert not on_cuda.fits(*asked)
    expected = both_ways(current, name, 0.75, reset, repeats)
    if kernels == "C":
        needs_compiler()
        loops.undo()
        assert (on_cpu.kernel_for(current, 1, asked[2]) is None) == (name == "exponential")
    else:
        pytest.importorskip("triton", reason="this PyTorch comes without Triton")
        request.getfixturevalue("interpreted")
        assert on_cuda.fits(*asked)
    found = both_ways(current, name, 0.75, reset, repeats)
    assert 0.05 < expected[0].float().mean() < 0.95
    assert torch.equal(found[0], expected[0])
    tolerance = {"rtol": 1e-2, "atol": 1e-2} if layout == "bfloat16" else {}
    for one, two in zip(found[1:], expected[1:], strict=True):
        torch.testing.assert_close(one, two, **tolerance)
        assert one.stride() == two.stride()


@pytest.mark.parametrize("decay", [1.0, 0.75])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_forward_on_a_cpu_equals_the_loops_bit_for_bit(
    decay: float, precision: torch.dtype, loops: pytest.MonkeyPatch
) -> None:
    needs_compiler()
    generator = torch.Generator().manual_seed(5)
    current = torch.randn(7, 3, 11, 5, 5, generator=generator).to(precision)
    expected = both_ways(current, "arctan", decay, "soft")
    loops.undo()
    found = both_ways(current, "arctan", decay, "soft")
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


@pytest.mark.parametrize("repeats", [1, 4])
def test_threads_layouts_and_gradients_of_another_layout_change_nothing(repeats: int) -> None:
    needs_compiler()
    generator = torch.Generator().manual_seed(6)
    z = torch.randn(4 // repeats, 2, 3, 21, 9, generator=generator)
    gradient = torch.randn(4, 2, 3, 21, 9, generator=generator)
    kernel = on_cpu.kernel()
    assert kernel is not None
    fire = on_cpu.Firing(0.75, 0.9, True, surrogate("fast-sigmoid", 1.0)), repeats
    before = torch.get_num_threads()
    results = []
    for turned, threads in ((False, 1), (False, 3), (True, 2)):
        torch.set_num_threads(threads)
        x = z.transpose(2, 4).contiguous().transpose(2, 4) if turned else z
        spikes, end = kernel.forward(x, torch.zeros(2, 3, 21, 9), *fire)
        back, carried = kernel.backward(x, torch.zeros(2, 3, 21, 9), *fire, gradient, ours=False)
        assert back.stride() == x.stride()
        results.append((spikes, end, back, carried))
        own = x.clone()
        kernel.backward(own, torch.zeros(2, 3, 21, 9), *fire, gradient, ours=True)
        assert torch.equal(own, back)
    torch.set_num_threads(before)
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert torch.equal(one, two)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("turned", [False, True])
def test_what_rules_without_a_graph_gather_equals_the_loops(
    precision: torch.dtype, turned: bool, loops: pytest.MonkeyPatch
) -> None:
    needs_compiler()
    generator = torch.Generator().manual_seed(8)
    current = torch.randn(5, 2, 3, 21, 9, generator=generator).to(precision)
    current = current.transpose(2, 4) if turned else current
    spikes = (current > 0.3).to(precision)
    slope = surrogate("fast-sigmoid", 1.0)
    found: list[list[Tensor]] = []
    for compiled in (False, True):
        if compiled:
            loops.undo()
        assert (on_cpu.kernel_for(current) is not None) == compiled
        neuron = Neuron(Dynamics(0.9, "hard"), theta=0.75, slope=slope)
        leak, mean = LeakCorrected(neuron), MeanSurrogate(neuron, slope)
        count = torch.zeros_like(spikes[0], dtype=torch.float32)
        for first, last in ((0, 4), (4, 5)):
            gather(spikes[first:last], count, 1.0)
            leak.add(current[first:last], spikes[first:last])
        v = torch.zeros_like(count)
        for z in (current[:4], current[4:], current[:1].expand(4, *count.shape)):
            fired, v = advance(z, v, neuron.theta, decay=0.9, reset="hard")
            mean.add(z, fired)
        assert leak.trace is not None
        assert mean.total is not None
        found.append([count, leak.trace, mean.total])
    assert found[0][0].unique().tolist() == [0, 1, 2, 3, 4, 5]
    for one, two in zip(*found, strict=True):
        assert one.dtype == two.dtype == torch.float32
        torch.testing.assert_close(one, two)


def test_what_is_not_a_number_stays_so_in_bfloat16() -> None:
    needs_compiler()
    kernel = on_cpu.kernel()
    assert kernel is not None
    current = torch.tensor([float("nan"), float("inf"), -float("inf"), 1.0]).bfloat16()[None, None]
    fire = on_cpu.Firing(1.0, 1.0, False, surrogate("triangle", 1.0)), 1
    spikes, end = kernel.forward(current, torch.zeros(1, 4), *fire)
    assert spikes.tolist() == [[[0.0, 1.0, 0.0, 1.0]]]
    assert end.isnan().tolist() == [[True, False, False, False]]
    back, _ = kernel.backward(
        current, torch.zeros(1, 4), *fire, torch.ones_like(current), ours=False
    )
    assert back.isnan().tolist() == [[[True, False, False, False]]]


def test_without_a_compiler_the_loops_run_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(source: object) -> None:
        raise NoCompiler("no C compiler here")

    monkeypatch.setattr(loading, "built", fails)
    on_cpu.kernel.cache_clear()
    asked = torch.ones(2, 1, 4), 1, surrogate("triangle", 1.0)
    try:
        with pytest.warns(UserWarning, match="step by step, slower: no C compiler here"):
            assert on_cpu.kernel_for(*asked) is None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert on_cpu.kernel_for(*asked) is None
    finally:
        on_cpu.kernel.cache_clear()


def test_many_thresholds_and_slopes_of_other_forms_go_to_the_loops(interpreted: None) -> None:
    current, tent = torch.ones(2, 1, 4), surrogate("triangle", 1.0)
    assert not on_cuda.fits(current, torch.ones(4), tent)
    assert not on_cuda.fits(current, torch.ones(()), torch.tanh)
    assert on_cpu.kernel_for(current, 4, tent) is None
    assert on_cpu.kernel_for(current, 1, torch.tanh) is None
    assert on_cpu.kernel_for(current.double(), 1, tent) is None


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("parts", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(7, 5, 3), (130,)])
@pytest.mark.parametrize("limit", [0, 25])
def test_whole_potentials_equal_the_loops_bit_for_bit(
    reset: Reset, parts: int, size: tuple[int, ...], limit: int, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("triton", reason="this PyTorch comes without Triton")
    generator = torch.Generator().manual_seed(7)

    def whole(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, dtype=torch.int32, generator=generator)

    nothing = torch.zeros(1, *size, dtype=torch.float64)
    current = Current(None, (), (), nothing, nothing, 0.0)
    layer = Fire("a", current, whole(50, 200, 1, *size), whole(0, 9, 1, *size), reset)
    constant = channels_last(whole(-5, 20, 2, *size)).unsqueeze(0).expand(6, 2, *size)
    given = [
        Part(whole(-9, 40, 6, 2, *size), 1),  # in another layout than the potentials
        Part(channels_last(whole(0, 2, 12, *size).to(torch.uint8)).unflatten(0, (6, 2)), -25),
        Part(constant, 1),
        Part(whole(0, 2, 6, 2, *size), whole(0, 60, 1, *size)),
    ][-parts:]
    found = []
    for kernels in (False, True):
        if kernels:
            request.getfixturevalue("interpreted")
        v = channels_last(layer.start.expand(2, *size)).contiguous(
            memory_format=torch.channels_last if len(size) == 3 else torch.contiguous_format
        )
        spikes = channels_last(torch.zeros(12, *size, dtype=torch.uint8)).unflatten(0, (6, 2))
        assert on_cuda.run_on(v) == kernels
        advance_whole(given, v, layer, spikes, limit)
        found.append((v, spikes))
    assert limit or 0.02 < found[0][1].float().mean() < 0.9
    assert not limit or v.abs().max() == limit
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("make", [lambda: converted("plain"), residual_network])
def test_a_network_in_whole_numbers_gives_the_same_spikes(
    make: Callable[[], SpikingNetwork], request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("triton", reason="this PyTorch comes without Triton")
    snn, x = make(), images(3)
    expected, _ = run(fixed(snn, 16, events=False), x)
    request.getfixturevalue("interpreted")
    found, _ = run(fixed(snn, 16, events=False), x)
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], spikes) for name, spikes in expected.items())
