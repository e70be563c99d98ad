"""The compiled quantised activation beside the one in PyTorch."""

import pytest
import torch
from torch import Tensor

from network.fused import levels
from network.fused.levels import BLOCK, Noise, Quantise
from network.layout import channels_last
from tests.compiled import needs_compiler


@pytest.fixture
def _compiler() -> None:
    needs_compiler()


def outcome(
    z: Tensor, gradient: Tensor, bound: float = 1.37, steps: int = 3, noise: Noise | None = None
) -> list[Tensor]:
    """a, and the gradients of z and of λ."""
    x, threshold = z.detach().requires_grad_(), torch.tensor(bound, requires_grad=True)
    result = Quantise.apply(x, threshold, steps, noise)
    result.backward(gradient)
    assert x.grad is not None
    assert threshold.grad is not None
    return [result.detach(), x.grad, threshold.grad]


def currents(*shape: int, seed: int = 5) -> Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", ["flat", "channels-last", "a slice", "one value", "none"])
@pytest.mark.parametrize("noise", [None, Noise(1.0, 2**31 - 1), Noise(0.3, 0)])
def test_the_kernel_equals_pytorch(
    dtype: torch.dtype, layout: str, noise: Noise | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = {"one value": (1,), "none": (0, 4)}.get(layout, (3, 5, 9, 11))
    z, gradient = currents(*shape).to(dtype), currents(*shape, seed=6).to(dtype)
    if layout == "channels-last":
        z = channels_last(z)
    elif layout == "a slice":
        z, gradient = z[:, 1:4, ::2], gradient[:, 1:4, ::2]
    assert levels.kernel() is not None
    ours = outcome(z, gradient, noise=noise)
    monkeypatch.setattr(levels, "kernel", lambda: None)
    theirs = outcome(z, gradient, noise=noise)
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])
    assert ours[0].dtype == ours[1].dtype == dtype
    torch.testing.assert_close(ours[2], theirs[2], rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("_compiler")
def test_no_number_of_threads_changes_a_bit() -> None:
    z, gradient = currents(40 * BLOCK * 8 + 77), currents(40 * BLOCK * 8 + 77, seed=7)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(outcome(z, gradient, noise=Noise(1.0, 7)))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


@pytest.mark.parametrize("way", ["here", "PyTorch"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_no_number_stays_so_and_bounds_hold(
    way: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that diverges must not look as if it were silent."""
    if way == "PyTorch":
        monkeypatch.setattr(levels, "kernel", lambda: None)
    z = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, 2.0, 0.25], dtype=dtype)
    result, back, _ = outcome(z, torch.ones_like(z), bound=2.0, steps=4)
    assert result[0].isnan()
    assert result[1:].tolist() == [2.0, 0.0, 0.0, 2.0, 0.5]  # 0.25 · 4/2 + ½ = 1 is a level
    assert back[1:].tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("way", ["here", "PyTorch"])
def test_bfloat16_rounds_once(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels are chosen in float32, as float64 would choose them."""
    if way == "PyTorch":
        monkeypatch.setattr(levels, "kernel", lambda: None)
    z = currents(4000).to(torch.bfloat16)
    result = outcome(z, torch.ones_like(z), bound=2.1, steps=5)[0]
    whole = (z.double().clamp(0, 2.1) * (5 / 2.1) + 0.5).floor()
    assert torch.equal(result, (whole.float() * (2.1 / 5)).to(torch.bfloat16))


@pytest.mark.parametrize("way", ["here", "PyTorch"])
def test_noise_of_a_whole_level_rounds_without_bias(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1.3 levels become 2 in 3 cases of 10, 1 otherwise; 0 and what is below stay 0, λ stays λ."""
    if way == "PyTorch":
        monkeypatch.setattr(levels, "kernel", lambda: None)
    z = torch.tensor([1.3, 0.0, -0.2, 4.0]).repeat(25_000, 1) / 2
    result = Quantise.apply(z, torch.tensor(2.0), 4, Noise(1.0, 11)) * 2
    some, none, below, full = result.unbind(1)
    assert some.unique().tolist() == [1, 2]
    assert some.mean().item() == pytest.approx(1.3, abs=0.01)  # a standard error is 0.003
    assert not none.any()
    assert not below.any()
    assert full.eq(4).all()


def test_noise_is_uniform_and_differs_with_seed_and_place() -> None:
    one, two = (Noise(1.0, seed).like(torch.empty(40_000)) for seed in (3, 4))
    for drawn in (one, two):
        assert -0.5 <= drawn.min() < -0.4999
        assert 0.4999 < drawn.max() < 0.5
        assert drawn.mean().item() == pytest.approx(0.0, abs=0.006)  # four standard errors
        assert drawn.std().item() == pytest.approx(12**-0.5, abs=0.003)
        after = torch.corrcoef(torch.stack([drawn[:-1], drawn[1:]]))[0, 1]
        assert abs(after) < 0.02
    assert abs(torch.corrcoef(torch.stack([one, two]))[0, 1]) < 0.02


def test_double_precision_takes_pytorch() -> None:
    z = currents(50).double()
    result = Quantise.apply(z, torch.tensor(1.37, dtype=torch.float64), 3)
    assert result.dtype == torch.float64
    assert len(result.unique()) == 4
