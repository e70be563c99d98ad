"""The data sets by name: what each is, where its files lie, how they are read. Loads no torch."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from network.registry import Registry

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pictures:
    """Images in memory, uint8 of shape [N, C, H, W], with labels of shape [N]."""

    images: npt.NDArray[np.uint8]
    labels: Labels


@dataclass(frozen=True)
class PictureFiles:
    """Images that stay on disk: paths below `root`, decoded to size × size pixels on demand."""

    root: Path
    paths: tuple[str, ...]
    labels: Labels
    size: int


class Events(NamedTuple):
    """Events of one recording, each [N]: column and row in pixels, polarity 0 or 1, time in µs."""

    x: npt.NDArray[np.int64]
    y: npt.NDArray[np.int64]
    polarity: npt.NDArray[np.int64]
    time_us: npt.NDArray[np.int64]


Span = tuple[int, int]


@dataclass(frozen=True)
class Recordings:
    """Event recordings below `root`, of a sensor of (height, width) pixels, each read by `read`.

    A recording may be a stretch of a file: its span is the start and the end in µs of the file's
    own clock, or None for the whole file.
    """

    root: Path
    paths: tuple[str, ...]
    spans: tuple[Span | None, ...]
    labels: Labels
    sensor: tuple[int, int]
    read: Callable[[Path], Events]


Split = Pictures | PictureFiles | Recordings


@dataclass(frozen=True)
class Contents:
    """What a reader found. `official`: the md5 are the published ones (None: none published)."""

    train: Split
    test: Split
    classes: tuple[str, ...]
    official: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Source:
    """One data set.

    `places` are the folders below the data directory where it may lie, best first; `files` must all
    lie in one of them, or all of `also`, the same data in another layout. `packed`: a file `x` may
    also be there as `x.gz`. `embedded` finds a data set that comes with an installed package
    instead. `obtain` completes "put ..." where it can be downloaded, and stands alone where it
    cannot. `validation` training images are held out by default (None: a tenth, at most 5,000).
    """

    name: str
    description: str
    read: Callable[[Path], Contents]
    obtain: str
    places: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    packed: bool = False
    embedded: Callable[[], Path | None] | None = None
    download: Callable[[Path], None] | None = None
    validation: int | None = None
    augmentation: str = "none"
    kind: Literal["images", "events"] = "images"
    # Mean and standard deviation per channel where they are fixed by convention, not by the images.
    statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None


DATASETS: Registry[Source] = Registry("data set")


def difference(title: str, digests: Mapping[str, str], official: Mapping[str, str]) -> str:
    """A note that names the files whose md5 is not the published one; nothing where all are."""
    wrong = [name for name, md5 in official.items() if digests.get(name) != md5]
    return f"{title}: not the official {', '.join(wrong)} (md5)" if wrong else ""


def by_torchvision(name: str, **settings: str) -> Callable[[Path], None]:
    """What downloads torchvision's data set of that name, which checks md5, into a directory."""

    def download(directory: Path) -> None:
        from torchvision import datasets

        getattr(datasets, name)(str(directory), download=True, **settings)

    return download


def md5_of(raw: bytes) -> str:
    """Hexadecimal md5, the checksum that the data sets' authors publish (not a safeguard)."""
    return hashlib.md5(raw, usedforsecurity=False).hexdigest()
