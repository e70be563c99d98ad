"""Slow weights by hand, and in a training that is cut off."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from network.lookahead import Lookahead
from tests.test_fit import RECIPE as PLAIN
from tests.test_fit import network, train

RECIPE = replace(PLAIN, lookahead=True)


def moved(layer: nn.Linear, value: float) -> None:
    with torch.no_grad():
        layer.weight.fill_(value)


def test_slow_weights_by_hand() -> None:
    """Twelve batches, each a step of 1: pulls after 5 and 10, and the slow weights at the end."""
    layer = nn.Linear(1, 1, bias=False)
    moved(layer, 0.0)
    lookahead = Lookahead(layer)
    weights = []
    for done in range(1, 13):
        moved(layer, layer.weight.item() + 1)
        lookahead.follow(done, 12)
        weights.append(layer.weight.item())
    fifth, tenth = 0.95**5 * (5 / 12) ** 3, 0.95**5 * (10 / 12) ** 3
    after_5 = (1 - fifth) * 5
    after_10 = tenth * after_5 + (1 - tenth) * (after_5 + 5)
    assert weights[:5] == pytest.approx([1, 2, 3, 4, after_5])
    assert weights[9:] == pytest.approx([after_10, after_10 + 1, after_10])


def test_counts_of_batch_norm_are_left_alone() -> None:
    norm = nn.BatchNorm1d(2)
    lookahead = Lookahead(norm)
    norm.num_batches_tracked += 3
    norm.running_mean += 1.0
    lookahead.follow(5, 10)
    assert norm.num_batches_tracked == 3
    kept = 0.95**5 / 8
    assert norm.running_mean.tolist() == pytest.approx([1 - kept] * 2)


def test_a_training_ends_with_its_slow_weights() -> None:
    """Two epochs of three batches: one pull, after the fifth."""
    fast, slow = train(network()), train(network(), recipe=RECIPE)
    assert not torch.equal(fast["0.weight"], slow["0.weight"])
    one_less = replace(RECIPE, epochs=1)
    unmoved = train(network(), recipe=one_less)  # three batches: the slow weights are the first
    assert torch.equal(unmoved["0.weight"], network().state_dict()["0.weight"])


@pytest.mark.parametrize("stop_after", [1, 5])
def test_a_training_that_was_cut_off_ends_bit_for_bit_the_same(
    tmp_path: Path, stop_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("network.fit.CHECKPOINT_EVERY_S", -1.0)  # after every batch
    recipe = replace(RECIPE, epochs=4)
    whole = train(network(), recipe=recipe)
    file = tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        train(network(), file, recipe=recipe, stop_after=stop_after)
    again = train(network(), file, recipe=recipe)
    assert all(torch.equal(whole[name], again[name]) for name in whole)
