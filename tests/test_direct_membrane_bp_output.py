"""membrane-bp: spikes of a run, their mean traces, and the error that the loss puts on them."""

import pytest
import torch
from torch import nn

from direct import prepare
from direct.membrane_bp import gradient as g
from direct.membrane_bp.rule import Counts
from tests.direct_networks import Flat, Toy, prepared, seeded


def test_counts_by_hand() -> None:
    counts = Counts(1)
    counts.inputs(0, torch.tensor([1.0, 0.0]).view(2, 1, 1))
    counts.inputs(2, torch.tensor([1.0]).view(1, 1, 1))
    assert counts.of["input"].item() == 2.0


def test_the_mean_trace_is_the_area_below_the_trace() -> None:
    # 3 spikes in 4 steps, decay ½: each adds 1 + ½ + ¼ + … = 2 over time; 3·2/4
    assert g.mean_trace(torch.tensor(3.0), 0.5, 4).item() == 1.5
    spikes, trace, area = torch.tensor([1.0, 0.0, 1.0, 1.0] + [0.0] * 60), 0.0, 0.0
    for spike in spikes.tolist():
        trace = 0.5 * trace + spike
        area += trace
    assert area / 4 == pytest.approx(1.5)


def test_the_error_of_full_balance_is_the_slope_of_the_loss() -> None:
    counts = torch.tensor([[4.0, 1.0, 2.0], [0.0, 0.0, 0.0], [1.0, 5.0, 3.0]], requires_grad=True)
    labels = torch.tensor([0, 2, 2])
    answer = counts / counts.amax(dim=-1, keepdim=True).clamp(min=1.0)
    loss = 0.5 * (answer - nn.functional.one_hot(labels, 3)).square().sum()
    (slope,) = torch.autograd.grad(loss, [counts])
    most = torch.tensor([[4.0], [1.0], [5.0]])
    found = g.output_error(counts.detach(), labels, 1.0)
    torch.testing.assert_close(found, slope * most)
    # image 1: a = 1, ¼, ½; e = 0, ¼, ½; Σea = 5/16. Image 2: silent, so more of its label only
    assert found[0].tolist() == pytest.approx([-5 / 16, 1 / 4, 1 / 2])
    assert found[1].tolist() == [0.0, 0.0, -1.0]
    halfway = g.output_error(counts.detach(), labels, 0.5)
    assert halfway[0].tolist() == pytest.approx([-5 / 32, 1 / 4, 1 / 2])


def test_what_the_error_asks_of_all_output_spikes_together() -> None:
    counts = torch.randint(0, 5, (30, 10), generator=torch.Generator().manual_seed(0)).float()
    counts[:, 3] += 1.0
    labels = torch.arange(30) % 10

    def asked(balance: float) -> torch.Tensor:
        return (g.output_error(counts, labels, balance) * counts).sum(dim=-1)

    assert asked(1.0).tolist() == pytest.approx([0.0] * 30, abs=1e-5)
    # Any other balance b leaves (1 − b)·Σ_j e_j c_j, mostly above 0: fewer
    torch.testing.assert_close(asked(0.75), asked(0.0) / 4, rtol=1e-4, atol=1e-5)
    assert asked(0.0).mean() > 0


def test_equal_largest_counts_share_what_they_owe() -> None:
    # a = 1, 1, ½, label 0: e = 0, 1, ½; Σea = 5/4, half of it each
    found = g.output_error(torch.tensor([[2.0, 2.0, 1.0]]), torch.tensor([0]), 1.0)
    assert found.tolist()[0] == pytest.approx([-5 / 8, 1 - 5 / 8, 1 / 2])


def test_half_precision_changes_no_spike_and_no_gradient() -> None:
    toy = Toy(20)

    def learned() -> list[torch.Tensor]:
        trainable = prepared("membrane-bp", 20)
        trainable.objective(toy.images, toy.labels, torch.arange(20)).loss.backward()
        return [p.grad for p in trainable.network.parameters() if p.grad is not None]

    expected = learned()
    with torch.autocast("cpu", torch.bfloat16):
        found = learned()
    assert len(found) == len(expected) > 0
    assert any(bool(gradient.abs().max() > 0) for gradient in expected)
    assert all(map(torch.equal, found, expected))


def test_an_image_shown_at_every_step_counts_as_often() -> None:
    """Pixels of 0 and 1 as a constant current are Poisson spikes of certain chance."""
    toy, learned = Toy(10), []
    images = (toy.images > 0.5).float()
    for encoding in ("constant", "poisson"):
        trainable = prepare(
            seeded(Flat), rule="membrane-bp", timesteps=20, images=images, labels=toy.labels,
            encoding=encoding,
        )  # fmt: skip
        trainable.objective(images, toy.labels, torch.arange(10)).loss.backward()
        learned.append([p.grad for p in trainable.network.parameters() if p.grad is not None])
    assert len(learned[0]) == len(learned[1]) == 4
    for constant, poisson in zip(*learned, strict=True):
        assert poisson.abs().max() > 0
        torch.testing.assert_close(constant, poisson)
