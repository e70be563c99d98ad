"""Readouts by hand: the scores after every step, from the steps up to it alone."""

import math

import pytest
import torch
from torch import Tensor

from network.readouts import READOUTS

DECAY = math.exp(-1 / 100)

# [T = 3, B = 2, K = 2]; the second image has no output at the first step
OUTPUTS = torch.tensor(
    [[[1.0, 0.0], [0.0, 0.0]], [[0.0, 2.0], [0.0, 1.0]], [[2.0, 1.0], [0.0, 1.0]]]
)


def scores(name: str, outputs: Tensor = OUTPUTS) -> list[list[list[float]]]:
    found: list[list[list[float]]] = READOUTS.get(name)(outputs.double(), DECAY).tolist()
    return found


def test_the_mean_current_is_a_mean_over_the_steps_so_far() -> None:
    assert scores("mean-current") == [
        [[1.0, 0.0], [0.0, 0.0]],
        [[0.5, 1.0], [0.0, 0.5]],
        [[1.0, 1.0], [0.0, pytest.approx(2 / 3)]],
    ]


def test_the_membrane_leaks_and_is_divided_by_the_steps_so_far() -> None:
    first, second = zip(*scores("membrane"), strict=True)
    assert first[0] == [1.0, 0.0]
    assert first[1] == pytest.approx([DECAY / 2, 1.0])
    assert first[2] == pytest.approx([(DECAY**2 + 2) / 3, (2 * DECAY + 1) / 3])
    assert second[2] == pytest.approx([0.0, (DECAY + 1) / 3])


def test_spikes_are_counted_so_far_over_the_largest_count_of_the_image() -> None:
    spikes = torch.tensor(
        [[[1.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [0.0, 0.0]]]
    )
    # counts (1, 0), (2, 0), (3, 1); of the other image (0, 0), (0, 1), (0, 1)
    assert scores("spike-count", spikes) == [
        [[1.0, 0.0], [0.0, 0.0]],
        [[1.0, 0.0], [0.0, 1.0]],
        [[1.0, pytest.approx(1 / 3)], [0.0, 1.0]],
    ]


@pytest.mark.parametrize("name", READOUTS.names())
def test_the_scores_of_a_shorter_run_are_the_first_of_a_longer_one(name: str) -> None:
    outputs = torch.rand(6, 3, 4, generator=torch.Generator().manual_seed(0)).round()
    assert scores(name, outputs[:4]) == scores(name, outputs)[:4]
