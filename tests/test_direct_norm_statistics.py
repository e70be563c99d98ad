"""Batch norm in a run that works through its steps in chunks."""

import pytest
import torch
from torch import Tensor, nn

from direct.norm_statistics import (
    move_running_statistics,
    running_statistics_held,
    statistics_of,
)
from network.graph import trace
from tests.direct_networks import Residual, Toy, prepared, seeded


def test_chunks_of_unequal_steps_by_hand() -> None:
    # One image and channel: steps 1, 3, 1, 3 (mean 2, variance 1) and 5, 5 (mean 5, variance 0)
    x = torch.tensor([1.0, 3.0, 1.0, 3.0, 5.0, 5.0]).view(6, 1)
    found = statistics_of(x[:4], 4).joined(statistics_of(x[4:], 2))
    assert (found.steps, found.numbers) == (6, 6)
    assert found.mean.item() == pytest.approx(3.0)  # 18 / 6
    assert found.within.item() == pytest.approx(4 / 6)  # (4·1 + 2·0) / 6
    assert found.between.item() == pytest.approx(2.0)  # (4·1² + 2·2²) / 6
    assert found.variance.item() == pytest.approx(x.var(unbiased=False).item())


def test_three_chunks_have_the_statistics_of_all_their_steps() -> None:
    x = torch.randn(10, 8, 3, 2, 2) + torch.arange(10.0).view(10, 1, 1, 1, 1)
    first, second, third = (statistics_of(x[a:b].flatten(0, 1), b - a)
                            for a, b in ((0, 4), (4, 8), (8, 10)))  # fmt: skip
    found = first.joined(second).joined(third)
    torch.testing.assert_close(found.mean, x.mean((0, 1, 3, 4)))
    torch.testing.assert_close(found.variance, x.var((0, 1, 3, 4), unbiased=False))
    torch.testing.assert_close(
        found.within, (4 * first.within + 4 * second.within + 2 * third.within) / 10
    )


@pytest.mark.parametrize("momentum", [0.3, None])
def test_running_statistics_move_as_those_of_torch(momentum: float | None) -> None:
    ours, theirs = (nn.BatchNorm2d(3, momentum=momentum) for _ in range(2))
    for x in torch.randn(2, 5, 3, 2, 2):
        theirs(x)
        move_running_statistics(ours, statistics_of(x, 1))
    for name, expected in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], expected, msg=name)


def test_a_norm_without_running_statistics_stays_without() -> None:
    norm = nn.BatchNorm1d(3, track_running_stats=False)
    move_running_statistics(norm, statistics_of(torch.randn(4, 3), 1))
    assert norm.running_mean is None


def test_held_norms_normalise_and_do_not_move() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU(), nn.BatchNorm1d(3).eval(), nn.ReLU())
    x = torch.randn(5, 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with running_statistics_held(trace(model)):
        found = model(x)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert torch.equal(found, model(x))
    assert model[0].num_batches_tracked == 1
    assert model[2].num_batches_tracked == 0


@pytest.mark.parametrize("timesteps", [1, 6, 8])
def test_running_statistics_are_of_all_steps_and_move_once_for_a_batch(timesteps: int) -> None:
    toy, trainable = Toy(20), prepared("rate-bp", timesteps, model=seeded(Residual))
    body = trainable.network.train().get_submodule("body")
    seen: dict[str, list[Tensor]] = {"stem_norm": [], "norm": []}
    for name, found in seen.items():
        body.get_submodule(name).register_forward_pre_hook(
            lambda module, inputs, found=found: found.append(inputs[0].detach())
        )
    trainable.objective(toy.images, toy.labels, torch.arange(20))
    for name, found in seen.items():
        currents, norm = torch.cat(found), body.get_submodule(name)
        # what stands in front of all neurons is the same at every step, and computed once
        assert len(currents) == (20 if name == "stem_norm" else 20 * timesteps)
        mean, variance = currents.mean((0, 2, 3)), currents.var((0, 2, 3), unbiased=True)
        torch.testing.assert_close(norm.running_mean, 0.1 * mean)
        torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * variance)
        assert norm.num_batches_tracked == 1
    kept = {name: value.clone() for name, value in body.state_dict().items()}
    trainable.network.eval()
    trainable.objective(toy.images, toy.labels, torch.arange(20))
    for name, value in body.state_dict().items():
        assert torch.equal(value, kept[name]), name
