"""From a name to a data set: locate, download where allowed, read, split, measure."""

import platform
import tarfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from compare.data.arrays import ArrayImages, Arrays, Dataset, FolderImages, histogram, statistics
from compare.data.errors import DataError, DataWarning
from compare.data.places import absent, data_directory, locate, source_of
from compare.data.sources import Contents, PictureFiles, Pictures, Source, Split
from compare.data.splits import Indices, default_validation, hold_out


def load(
    name: str,
    directory: Path | None = None,
    *,
    download: bool = False,
    validation: int | None = None,
) -> Dataset:
    """The data set of that name, from `directory`, else $ISOSPIKE_DATA, else ~/.cache/isospike.

    `validation`: training images to hold out (None: the data set's default; 0: none). Raises
    UnknownName, or DataError where files are missing or damaged. Files that are not the official
    ones are used, with a DataWarning.
    """
    source = source_of(name)
    if source.kind != "images":
        raise DataError(
            f"{name} holds recordings, not images: a study file says into how many frames they are "
            f"cut, [events.{name}] timesteps = 10"
        )
    contents = source.read(find(name, source, directory, download))
    if contents.note:
        warnings.warn(contents.note, DataWarning, stacklevel=2)
    kept, held = held_out(contents, source, validation)
    train = arrays(contents.train, kept)
    mean, std = source.statistics or measured(train)
    return Dataset(
        name=name,
        classes=contents.classes,
        train=train,
        validation=arrays(contents.train, held),
        test=arrays(contents.test, None),
        official=contents.official,
        note=contents.note,
        mean=mean,
        std=std,
        augmentation=source.augmentation,
    )


def find(name: str, source: Source, directory: Path | None, download: bool) -> Path:
    """Where the data set lies; downloads it there first where that is allowed and needed."""
    where = locate(name, directory)
    if where.found:
        return where.path
    if not download or source.download is None:
        raise absent(where)
    target = data_directory(directory)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with _safe_archives():
            source.download(target)
    except (OSError, RuntimeError, ValueError, tarfile.TarError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{name}: download to {target} failed ({reason})") from error
    where = locate(name, directory)
    if not where.found:
        raise absent(where)
    return where.path


@contextmanager
def _safe_archives() -> Iterator[None]:
    """Refuse tar members that would lie outside the directory, whatever library unpacks them.

    Raises DataError where Python has no filter for them: 3.11 before 3.11.4.
    """
    if not hasattr(tarfile, "data_filter"):
        raise DataError(
            "archives are unpacked with Python 3.11.4 or later, which refuses members outside "
            f"their directory; this is {platform.python_version()}"
        )
    before = tarfile.TarFile.extraction_filter
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before


def held_out(contents: Contents, source: Source, validation: int | None) -> tuple[Indices, Indices]:
    """Indices of the training images for training and for validation."""
    labels = contents.train.labels
    if validation is None:
        validation = source.validation or default_validation(len(labels))
    if validation == 0:
        return np.arange(len(labels)), np.arange(0)
    return hold_out(labels, validation)


def arrays(split: Split, indices: Indices | None) -> Arrays:
    """A part of a split (None: all of it) as tensors, or as files to be decoded later."""
    labels = split.labels if indices is None else split.labels[indices]
    if isinstance(split, Pictures):
        images = split.images if indices is None else split.images[indices]
        # Arrays that are views of a file's bytes are read-only, which torch does not know: copied.
        images = np.require(images, requirements=["C", "W"])
        return ArrayImages(torch.from_numpy(images), torch.from_numpy(labels))
    if isinstance(split, PictureFiles):
        paths = split.paths if indices is None else tuple(split.paths[i] for i in indices)
        return FolderImages(split.root, paths, torch.from_numpy(labels), split.size)
    raise TypeError(f"no images in {type(split).__name__}")


def measured(train: Arrays) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel; raises DataError where all pixels are equal."""
    if not isinstance(train, ArrayImages):
        raise TypeError(f"{type(train).__name__} needs statistics in its source")
    counts = histogram(train.images)
    if bool(((counts > 0).sum(axis=1) == 1).all()):
        raise DataError("all training images are one constant: there is nothing to learn")
    return statistics(counts)
