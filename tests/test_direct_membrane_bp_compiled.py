"""Event neurons in C: they spike as the plain form does, and nothing depends on a compiler."""

import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from direct.membrane_bp import EventDynamics, EventNeuron, compiled, group
from direct.membrane_bp.neuron import advance_events
from tests.compiled import needs_compiler
from tests.direct_networks import Toy, prepared


def available() -> compiled.Compiled:
    """The library; skips where there is no compiler, fails where there is one and no library."""
    needs_compiler()
    found = compiled.compiled()
    assert found is not None
    return found


@pytest.fixture
def library() -> compiled.Compiled:
    return available()


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CC", "no-such-compiler")
    compiled.compiled.cache_clear()
    yield
    compiled.compiled.cache_clear()


def whole(low: int, high: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Multiples of 1/256, of which sums are exact in any order."""
    return torch.randint(low, high, shape, generator=generator) / 256


def test_it_is_tried_in_float32_wherever_it_is_asked_for_first(library: compiled.Compiled) -> None:
    compiled.compiled.cache_clear()
    with torch.autocast("cpu", torch.bfloat16):
        assert compiled.compiled() is not None


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    inhibition=st.sampled_from([0.0, 0.05, 0.4, 1.0]),
    refractory=st.sampled_from([0.5, 1.0, 3.0]),
    sizes=st.tuples(*(st.integers(1, n) for n in (9, 4, 40, 40))),
)
def test_it_spikes_as_the_plain_form_does(
    seed: int, inhibition: float, refractory: float, sizes: tuple[int, int, int, int]
) -> None:
    library = available()
    generator = torch.Generator().manual_seed(seed)
    steps, batch, inputs, units = sizes
    dynamics = EventDynamics(refractory_ms=refractory, inhibition=inhibition)
    arriving = (torch.rand(steps, batch, inputs, generator=generator) < 0.3).float()
    rows, theta = whole(-64, 128, (inputs, units), generator), whole(32, 99, (units,), generator)
    v = torch.zeros(batch, units)
    since = torch.full_like(v, math.inf)
    expected = advance_events(arriving @ rows, v, since, theta, dynamics)
    for currents, weights in ((arriving, rows), (arriving @ rows, None)):
        spikes, after, times = library.advance(currents, weights, v, since, theta, dynamics)
        assert torch.equal(spikes, expected[0])
        torch.testing.assert_close(after, expected[1], atol=1e-6, rtol=1e-5)
        assert torch.equal(times, expected[2])
    assert not v.any(), "what it was given is left as it was"


def test_analogue_inputs_weigh_their_rows(library: compiled.Compiled) -> None:
    arriving, rows = torch.tensor([[[0.5, 0.0, -2.0]]]), torch.eye(3)[:, :2] + 0.25
    dynamics, theta = EventDynamics(tau_ms=1e9), torch.full((2,), 9.0)
    start = torch.zeros(1, 2), torch.full((1, 2), math.inf)
    _, v, _ = library.advance(arriving, rows, *start, theta, dynamics)
    assert v.tolist() == [[0.5 * 1.25 - 2.0 * 0.25, 0.5 * 0.25 - 2.0 * 0.25]]


def losses_and_gradients(steps: int) -> list[Tensor]:
    toy, trainable = Toy(20), prepared("membrane-bp", steps)
    outcome = trainable.objective(toy.images, toy.labels, torch.arange(20))
    outcome.loss.backward()
    found = [p.grad for p in trainable.network.parameters() if p.grad is not None]
    return [outcome.loss.detach(), outcome.scores, *found]


def test_a_training_step_is_the_same_without_it(
    library: compiled.Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "CHUNK", 5)
    fast = losses_and_gradients(12)
    monkeypatch.setattr(group, "compiled", lambda: None)
    plain = losses_and_gradients(12)
    assert len(fast) == 6
    for one, other in zip(fast, plain, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@pytest.mark.usefixtures("no_compiler")
def test_a_machine_without_a_compiler_trains() -> None:
    with pytest.warns(UserWarning, match="membrane-bp runs in plain PyTorch"):
        assert compiled.compiled() is None
    assert losses_and_gradients(6)[0].isfinite()


def test_other_precisions_take_the_plain_form() -> None:
    neuron = EventNeuron(EventDynamics(), torch.tensor([0.5]))
    spikes, _ = neuron.advance(torch.ones(2, 1, 1, dtype=torch.bfloat16), None)
    assert spikes.dtype == torch.bfloat16
    assert spikes.flatten().tolist() == [1.0, 1.0]
