"""The kernels of a CUDA device, read by Triton's interpreter, beside the loops in PyTorch."""

import importlib
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from direct.surrogates import SURROGATES, surrogate
from network import fused
from network.layout import like_each_step
from network.steps import AdvanceWithGradient

pytest.importorskip("triton", reason="this PyTorch comes without Triton")


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.delitem(sys.modules, "network.triton_steps", raising=False)
    importlib.reload(fused)
    yield
    monkeypatch.undo()
    sys.modules.pop("network.triton_steps", None)
    importlib.reload(fused)


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


@pytest.mark.parametrize("name", list(SURROGATES))
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("layout", ["channels-last", "flat", "the same at every step", "bfloat16"])
def test_kernels_equal_the_loops(
    name: str, reset: str, layout: str, request: pytest.FixtureRequest
) -> None:
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
    assert not fused.fits(current, torch.ones(()), surrogate(name, 1.0))
    expected = both_ways(current, name, 0.75, reset, repeats)
    request.getfixturevalue("interpreted")
    assert fused.fits(current, torch.ones(()), surrogate(name, 1.0))
    found = both_ways(current, name, 0.75, reset, repeats)
    assert 0.05 < expected[0].float().mean() < 0.95
    assert torch.equal(found[0], expected[0])
    tolerance = {"rtol": 1e-2, "atol": 1e-2} if layout == "bfloat16" else {}
    for one, two in zip(found[1:], expected[1:], strict=True):
        torch.testing.assert_close(one, two, **tolerance)
        assert one.stride() == two.stride()


def test_many_thresholds_and_slopes_of_other_forms_go_to_the_loops(interpreted: None) -> None:
    current = torch.ones(2, 1, 4)
    assert not fused.fits(current, torch.ones(4), surrogate("triangle", 1.0))
    assert not fused.fits(current, torch.ones(()), torch.tanh)
