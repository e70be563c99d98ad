"""Data sets: found, read, checked and split. The names alone load no torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Importing a reader registers its data sets: in the order in which lists show them.
# isort: off
from compare.data import mnist_5k, idx, svhn, cifar, folders, npz, recordings

# isort: on
from compare.data.errors import DataError, DataWarning
from compare.data.places import Where, locate
from compare.data.sources import DATASETS, Source

if TYPE_CHECKING:
    from compare.data.arrays import (
        ArrayImages,
        Arrays,
        Dataset,
        EventArrays,
        FolderImages,
        normalise,
        pixels,
    )
    from compare.data.augmentation import AUGMENTATIONS, augment
    from compare.data.events import load_events
    from compare.data.loading import load

READERS = (mnist_5k, idx, svhn, cifar, folders, npz, recordings)
# These need torch, so they are imported when they are first asked for (PEP 562).
LATER = {
    "AUGMENTATIONS": "augmentation",
    "ArrayImages": "arrays",
    "Arrays": "arrays",
    "Dataset": "arrays",
    "EventArrays": "arrays",
    "FolderImages": "arrays",
    "augment": "augmentation",
    "load_events": "events",
    "normalise": "arrays",
    "pixels": "arrays",
    "load": "loading",
}
__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "ArrayImages",
    "Arrays",
    "DataError",
    "DataWarning",
    "Dataset",
    "EventArrays",
    "FolderImages",
    "Source",
    "Where",
    "augment",
    "load",
    "load_events",
    "locate",
    "normalise",
    "pixels",
]


def __getattr__(name: str) -> Any:
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{LATER[name]}"), name)
