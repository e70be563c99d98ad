"""Sums behind the counts: bytes, places, and values below zero."""

import pytest
import torch
from torch import nn

from network.activity import EffectiveMacs, _same_in_channels, _whole_sum
from network.graph import trace


@pytest.mark.parametrize("images", [255, 256])
def test_no_byte_carries_into_the_next_where_every_image_spikes(images: int) -> None:
    spikes = torch.ones(2, images, 8, dtype=torch.uint8)
    assert _whole_sum(spikes).tolist() == [[images] * 8] * 2


def test_spikes_may_be_counted_by_place_where_no_target_tells_channels_apart() -> None:
    even, uneven = torch.tensor([[1.0, 2], [1, 2]]), torch.tensor([[1.0, 2], [1, 3]])
    found = _same_in_channels({"a": even, "b": 2 * even})
    assert found is not None
    assert {target: fan.tolist() for target, fan in found.items()} == {"a": [1, 2], "b": [2, 4]}
    assert _same_in_channels({"a": even, "b": uneven}) is None


def test_what_is_below_zero_is_multiplied_too() -> None:
    """Pixels −1, 0 and 2 in front of 4 units: 2 · 4 MACs, and none behind silent units."""
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        model[0].weight.fill_(-1.0)
        model[0].bias.zero_()
        counter = EffectiveMacs(trace(model), (3,))
        for x in (torch.tensor([[-1.0, 0.0, 2.0]]), torch.zeros(2, 3)):
            counter.run(x)
    assert (counter.total, counter.images) == (2 * 4, 3)
