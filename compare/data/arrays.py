"""Images and labels in memory or on disk, behind one interface, and the data set made of them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from compare.data.pictures import decode_square
from network.architectures import Geometry


@runtime_checkable
class Arrays(Protocol):
    """N images (or event frames) with labels, given out in batches.

    `labels`: int64 [N]. `shape`: of one image at one step, (C, H, W). `batch` takes int64 indices
    [B] and returns uint8 [B, C, H, W] (event frames: [B, T, 2, H, W]) and labels [B].
    """

    @property
    def labels(self) -> Tensor: ...

    @property
    def shape(self) -> tuple[int, int, int]: ...

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]: ...

    def update(self, digest: Callable[[bytes | memoryview], None]) -> None:
        """Feed `digest` with all that identifies the contents, the same on every machine."""
        ...


def feed(tensor: Tensor, digest: Callable[[bytes | memoryview], None]) -> None:
    """Type, shape and values of a tensor, in row order and little-endian."""
    digest(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
    array = tensor.contiguous().numpy()
    if array.size:  # an empty view cannot be cast
        digest(array.astype(array.dtype.newbyteorder("<"), copy=False).data.cast("B"))


@dataclass(frozen=True, eq=False)
class ArrayImages:
    """Images in memory: uint8 [N, C, H, W], labels int64 [N]."""

    images: Tensor
    labels: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self.images[indices], self.labels[indices]

    def update(self, digest: Callable[[bytes | memoryview], None]) -> None:
        feed(self.images, digest)
        feed(self.labels, digest)


@dataclass(frozen=True, eq=False)
class FolderImages:
    """Images on disk, decoded batch by batch: short side resized, then the centre cut out."""

    root: Path
    paths: tuple[str, ...]
    labels: Tensor
    size: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return 3, self.size, self.size

    def __len__(self) -> int:
        return len(self.paths)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        images = [decode_square(self.root / self.paths[i], self.size) for i in indices.tolist()]
        return torch.stack([torch.from_numpy(image) for image in images]), self.labels[indices]

    def update(self, digest: Callable[[bytes | memoryview], None]) -> None:
        """Names, file sizes and labels: reading every pixel of ImageNet would take hours."""
        digest(f"files {self.size} ".encode())
        for path in self.paths:
            digest(f"{path} {(self.root / path).stat().st_size}\n".encode())
        feed(self.labels, digest)


@dataclass(frozen=True, eq=False)
class EventArrays:
    """Event counts in memory: uint8 [N, T, 2, H, W] (never above 255), labels int64 [N]."""

    frames: Tensor
    labels: Tensor

    @property
    def timesteps(self) -> int:
        return self.frames.shape[1]

    @property
    def shape(self) -> tuple[int, int, int]:
        polarities, height, width = self.frames.shape[2:]
        return polarities, height, width

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self.frames[indices], self.labels[indices]

    def update(self, digest: Callable[[bytes | memoryview], None]) -> None:
        feed(self.frames, digest)
        feed(self.labels, digest)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set, split and ready to be trained on.

    `official`: the files are the published ones (None: nothing is published to compare with).
    `note`: what a result measured on it must say. `mean`, `std`: of the training pixels in [0, 1],
    per channel. `augmentation`: the name of the one that suits it.
    """

    name: str
    classes: tuple[str, ...]
    train: Arrays
    validation: Arrays
    test: Arrays
    official: bool | None
    note: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.train.shape

    @property
    def geometry(self) -> Geometry:
        """What networks for it are built for."""
        return Geometry(*self.shape, len(self.classes))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the three parts in order: the same data give the same one everywhere."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            part.update(digest.update)
        return digest.hexdigest()


def pixels(images: Tensor) -> Tensor:
    """uint8 as float32 in [0, 1]."""
    return images.to(torch.float32) / 255


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(x − mean) / std per channel, for images [..., C, H, W]."""
    shape = (-1, 1, 1)
    return (images - images.new_tensor(mean).view(shape)) / images.new_tensor(std).view(shape)


def histogram(images: Tensor, chunk: int = 1000) -> npt.NDArray[np.int64]:
    """How often each value 0..255 occurs in each channel of uint8 [N, C, H, W]: int64 [C, 256]."""
    channels = images.shape[1]
    counts = np.zeros((channels, 256), np.int64)
    for part in images.split(chunk):
        for channel in range(channels):
            counts[channel] += np.bincount(part[:, channel].numpy().ravel(), minlength=256)
    return counts


def statistics(counts: npt.NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel in units of the range [0, 1], from a histogram.

    From whole-number sums, so the result does not depend on an order of summation. A channel that
    never varies gets the standard deviation 1: it is shifted, not scaled.
    """
    values = np.arange(256)
    means, deviations = [], []
    for row in counts:
        count, total, squares = int(row.sum()), int(row @ values), int(row @ values**2)
        variance = (count * squares - total**2) / count**2
        means.append(total / count / 255)
        deviations.append(variance**0.5 / 255 if variance > 0 else 1.0)
    return tuple(means), tuple(deviations)
