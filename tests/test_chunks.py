"""What a run of steps refuses, in floating point and in whole numbers."""

from typing import Any

import numpy as np
import pytest
import torch

from network.fixed import unroll_fixed
from network.unroll import unroll
from tests.fixed_point import converted, fixed
from tests.small_networks import images
from tests.test_unroll import spiking


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"timesteps": 0}, "timesteps must be at least 1, got 0"),
        ({"timesteps": 1.5}, "timesteps must be a whole number, got 1.5"),
        ({"timesteps": "4"}, "timesteps must be a whole number, got '4'"),
        ({"timesteps": True}, "timesteps must be a whole number, got True"),
        ({"timesteps": 3, "chunk": 0}, "chunk must be at least 1, got 0"),
        (
            {"timesteps": 3, "keys": torch.arange(2)},
            r"keys must be one per image, \[1\], got \[2\]",
        ),
    ],
)
def test_wrong_numbers_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        unroll(spiking("plain"), images(1), **arguments)
    with pytest.raises(ValueError, match=words):
        unroll_fixed(fixed(converted("plain"), 16), images(1), **arguments)


def test_whole_numbers_of_numpy_are_timesteps() -> None:
    assert len(unroll(spiking("plain"), images(1), np.int64(3))) == 3


def test_images_with_nan_are_refused_by_the_network() -> None:
    """A neuron whose current is NaN never fires: the scores would be finite."""
    x = images(2)
    x[1, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="images must be numbers, got NaN"):
        spiking("plain")(x, 3)
