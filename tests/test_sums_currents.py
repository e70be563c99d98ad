"""Currents in float32 summed over spikes: those of the dense layers, apart from rounding."""

import ctypes

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.sections import threads
from network.compiled import loading
from network.compiled.building import NoCompiler, built
from network.saved import mark_spikes
from network.sums import currents
from network.sums.currents import Currents, EventSums, float_currents, rows_of
from network.unroll import unroll
from tests.compiled import needs_compiler
from tests.direct_networks import Convolutional, Toy, WithoutNorm, prepared, seeded


@pytest.fixture(autouse=True)
def _compiler() -> None:
    needs_compiler()


def spikes_of(*shape: int, rate: float = 0.2) -> Tensor:
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < rate
    layout = torch.channels_last if len(shape) == 4 else torch.contiguous_format
    return mark_spikes(drawn.float().contiguous(memory_format=layout))


LAYERS = [
    (nn.Conv2d(8, 20, 3, padding=1), (5, 8, 9, 7)),
    (nn.Conv2d(12, 70, 5, stride=2, padding=2, bias=False), (2, 12, 9, 9)),
    (nn.Conv2d(9, 33, 3, padding=(2, 0), dilation=2), (3, 9, 8, 8)),
    (nn.Conv2d(64, 130, 1, stride=2), (2, 64, 6, 6)),
    (nn.Linear(700, 10), (4, 700)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS)
@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0])
def test_sums_are_those_of_the_layer(layer: nn.Module, shape: tuple[int, ...], rate: float) -> None:
    kernel, rows = float_currents(), rows_of(layer)
    assert kernel is not None
    assert rows is not None
    spikes = spikes_of(*shape, rate=rate)
    with torch.no_grad():
        expected = layer.double()(spikes.double())
        layer.float()
    found = kernel(spikes, rows)
    assert found.shape == expected.shape
    assert found.stride() == layer(spikes).stride()
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", [16, 32, 64])
def test_vectors_of_any_width_give_the_same(width: int) -> None:
    other = Currents(ctypes.CDLL(str(built(currents.SOURCE, f"-DWIDTH={width}"))))
    for layer, shape in LAYERS:
        kernel, rows = float_currents(), rows_of(layer)
        assert kernel is not None
        assert rows is not None
        spikes = spikes_of(*shape)
        assert torch.equal(other(spikes, rows), kernel(spikes, rows))


def test_a_sum_depends_on_neither_threads_nor_other_images() -> None:
    layer = nn.Conv2d(16, 40, 3, padding=1)
    kernel, rows = float_currents(), rows_of(layer)
    assert kernel is not None
    assert rows is not None
    spikes = spikes_of(7, 16, 10, 10)
    whole = kernel(spikes, rows)
    with threads(2):
        assert torch.equal(kernel(spikes, rows), whole)
    alone = [kernel(spikes[i : i + 1], rows) for i in range(7)]
    assert torch.equal(torch.cat(alone), whole)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (nn.Conv2d(8, 4, 3), torch.rand(2, 8, 5, 5)),  # not said to be spikes
        (nn.Conv2d(1, 4, 3), spikes_of(2, 1, 5, 5)),
        (nn.Conv2d(8, 4, 3), spikes_of(2, 8, 5, 5, rate=0.9)),
        (nn.Conv2d(8, 4, 3, groups=2), spikes_of(2, 8, 5, 5)),
        (nn.Conv2d(8, 4, 3, padding=1, padding_mode="circular"), spikes_of(2, 8, 5, 5)),
        (nn.Conv2d(8, 4, 3, padding="same"), spikes_of(2, 8, 5, 5)),
        (nn.Linear(8, 4), mark_spikes(torch.zeros(2, 3, 8))),
        (nn.Linear(8, 4), mark_spikes(torch.zeros(2, 8, 8, 8))),  # over the last axis
    ],
)
def test_what_is_left_to_the_dense_layer(layer: nn.Module, x: Tensor) -> None:
    assert EventSums().add_up(layer, x) is None


def test_half_precision_is_summed_in_float32_where_few_spike() -> None:
    layer, few, many = nn.Conv2d(8, 4, 3), torch.zeros(2, 8, 5, 5), torch.zeros(2, 8, 5, 5)
    few[:, :, 2, 1:4], many[:, :, 2] = 1.0, 1.0  # 12 and 20 %
    mark_spikes(few), mark_spikes(many)
    assert EventSums().add_up(layer, many) is not None
    expected = EventSums().add_up(layer, few)
    assert expected is not None
    with torch.autocast("cpu", torch.bfloat16):
        assert EventSums().add_up(layer, many) is None
        for x in (few, mark_spikes(few.bfloat16())):
            found = EventSums().add_up(layer, x)
            assert found is not None
            assert found.dtype == torch.bfloat16
            assert torch.equal(found, expected.bfloat16())
    with torch.autocast("cpu", torch.float16):
        assert EventSums().add_up(layer, few) is None


def test_without_a_compiler_dense_layers_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(source: object) -> None:
        raise NoCompiler("no C compiler here (cc, gcc, clang)")

    monkeypatch.setattr(loading, "built", none)
    with pytest.warns(UserWarning, match="dense layers, slower: no C compiler here"):
        assert float_currents.__wrapped__() is None


class Wide(nn.Sequential):
    """Enough channels behind neurons for sums over events: in a map, and flattened."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 9, 3, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(324, 2),
        )  # fmt: skip


@pytest.mark.parametrize("rule", ["spike-bp", "rate-bp"])
def test_rules_that_run_without_a_graph_learn_the_same(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    summed: list[bool] = []
    add_up = EventSums.add_up

    def watch(self: EventSums, layer: nn.Module, x: Tensor) -> Tensor | None:
        result = add_up(self, layer, x)
        summed.append(result is not None)
        return result

    monkeypatch.setattr(EventSums, "add_up", watch)
    toy, found = Toy(20), []
    for kernel in (float_currents, lambda: None):
        monkeypatch.setattr(currents, "float_currents", kernel)
        trainable = prepared(rule, 8, model=seeded(Wide))
        trainable.network.train()
        outcome = trainable.objective(toy.images, toy.labels, torch.arange(20))
        outcome.loss.backward()
        gradients = [p.grad.flatten() for p in trainable.network.parameters() if p.grad is not None]
        found.append(torch.cat(gradients))
    assert any(summed[: len(summed) // 2])
    assert not any(summed[len(summed) // 2 :])
    assert F.cosine_similarity(found[0], found[1], dim=0) > 0.999


def test_a_run_by_events_is_a_run() -> None:
    for model in (Convolutional, WithoutNorm, Wide):
        network = prepared("bptt", model=seeded(model)).finish()
        with torch.no_grad():
            dense = unroll(network, Toy(12).images, 6)
            events = unroll(network, Toy(12).images, 6, events=True)
        torch.testing.assert_close(events, dense, rtol=1e-4, atol=1e-4)


def test_the_probe_of_the_kernel_draws_nothing() -> None:
    """It runs in the first batch of a training, whose dropout masks must not depend on it."""
    before = torch.get_rng_state()
    assert float_currents.__wrapped__() is not None
    assert torch.equal(torch.get_rng_state(), before)
