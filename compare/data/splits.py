"""Holding images out of a training set: stratified, and the same on every machine and seed."""

import numpy as np
import numpy.typing as npt

from compare.data.errors import DataError

SEED = 2020  # of every split; a study's own seed never changes which images are held out
LARGEST_DEFAULT = 5000

Indices = npt.NDArray[np.int64]


def default_validation(images: int) -> int:
    """A tenth of the training images, at least 1 and at most 5,000."""
    return min(max(1, images // 10), LARGEST_DEFAULT)


def shares(counts: npt.NDArray[np.int64], total: int) -> npt.NDArray[np.int64]:
    """Whole numbers near total · counts / Σ counts that add up to `total` (largest remainders)."""
    wanted = total * counts
    share = wanted // counts.sum()
    remainders = wanted - share * counts.sum()
    largest = np.argsort(-remainders, kind="stable")[: total - share.sum()]
    share[largest] += 1
    return share


def hold_out(labels: npt.NDArray[np.int64], images: int) -> tuple[Indices, Indices]:
    """Indices of the images kept and of those held out, each in rising order.

    Every class gives its share. Raises DataError where `images` leaves nothing on either side.
    """
    if not 1 <= images < len(labels):
        raise DataError(
            f"images to hold out must be 1 to {len(labels) - 1} of {len(labels)}, got {images}"
        )
    # RandomState, because its stream is the one that numpy promises never to change (NEP 19).
    stream = np.random.RandomState(SEED)
    order = stream.permutation(len(labels))
    counts = np.bincount(labels)
    held = np.zeros(len(labels), bool)
    for label, share in enumerate(shares(counts, images)):
        held[order[labels[order] == label][:share]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
