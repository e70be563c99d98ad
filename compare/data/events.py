"""Event recordings as frames: T counts of events per pixel and polarity, kept for the next time."""

import hashlib
import warnings
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from compare.data.arrays import Dataset, EventArrays
from compare.data.errors import DataError, DataWarning
from compare.data.folders import LARGEST_BYTES
from compare.data.loading import find, held_out
from compare.data.places import data_directory, source_of
from compare.data.sources import Contents, Events, Recordings, Span
from network.files import replacing

LONGEST_MS = 1e12  # in µs it still fits 64 bits
Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Binning:
    """How a recording becomes frames.

    `window_ms`: length of a frame, from the first event on, later events left out (Zheng 2021: 30
    for DVS-Gesture, 5 for CIFAR10-DVS); None: the recording cut into `timesteps` equal parts.
    `size`: pixels per side after joining neighbours (Zheng 2021: 32 and 42); None: the sensor's.
    """

    timesteps: int
    size: int | None = None
    window_ms: float | None = None

    def __post_init__(self) -> None:
        if self.timesteps < 1:
            raise DataError(f"timesteps must be at least 1, got {self.timesteps}")
        if self.size is not None and self.size < 1:
            raise DataError(f"size must be at least 1 pixel, got {self.size}")
        if self.window_ms is not None and not 0.001 <= self.window_ms <= LONGEST_MS:
            raise DataError(
                f"window_ms must be at least 0.001 and at most {LONGEST_MS:.0e}, "
                f"got {self.window_ms}"
            )


def load_events(
    name: str,
    directory: Path | None,
    timesteps: int,
    *,
    size: int | None = None,
    window_ms: float | None = None,
    download: bool = False,
    validation: int | None = None,
) -> Dataset:
    """The recordings of that name as frames [N, T, 2, H, W], binned as `Binning` says.

    The frames are written beside the data (`isospike-frames/`), one file for each binning, and read
    from there the next time. Raises as `load` does, and DataError where tonic is needed and absent.
    """
    binning = Binning(timesteps, size, window_ms)
    source = source_of(name)
    if source.kind != "events":
        raise DataError(f"{name} holds images, not recordings: it takes no number of timesteps")
    contents = source.read(find(name, source, directory, download))
    kept, held = held_out(contents, source, validation)
    train, test = cached_frames(name, contents, binning, data_directory(directory))
    train_labels = torch.from_numpy(contents.train.labels)
    frames = torch.from_numpy(train)
    return Dataset(
        name=name,
        classes=contents.classes,
        train=EventArrays(frames[kept], train_labels[kept]),
        validation=EventArrays(frames[held], train_labels[held]),
        test=EventArrays(torch.from_numpy(test), torch.from_numpy(contents.test.labels)),
        official=contents.official,
        note=contents.note,
        mean=(0.0, 0.0),
        std=(1.0, 1.0),
        augmentation=source.augmentation,
    )


def cached_frames(
    name: str, contents: Contents, binning: Binning, directory: Path
) -> tuple[Frames, Frames]:
    """Training and test frames, from the cache where it holds them, else made and put there."""
    first, second = contents.train, contents.test
    if not (isinstance(first, Recordings) and isinstance(second, Recordings)):
        raise TypeError(f"{name}: no recordings")
    parts = (first, second)
    for part in parts:
        refuse_large(part, binning, name)
    path = directory / "isospike-frames" / f"{name}-T{binning.timesteps}-{key(parts, binning)}.npz"
    stored = read_cache(path)
    if stored is not None:
        return stored
    train, test = (all_frames(part, binning) for part in parts)
    try:
        write_cache(path, train, test)
    except OSError as error:
        warnings.warn(
            f"{path}: the frames cannot be kept ({error.strerror}); they are made anew each time",
            DataWarning,
            stacklevel=3,
        )
    return train, test


def refuse_large(recordings: Recordings, binning: Binning, name: str) -> None:
    """Raises DataError where the frames would take more memory than one should hold."""
    height, width = (binning.size or side for side in recordings.sensor)
    needed = len(recordings.paths) * binning.timesteps * 2 * height * width
    if needed > LARGEST_BYTES:
        raise DataError(
            f"{name}: the frames take {needed / 2**30:.1f} GiB, and {LARGEST_BYTES // 2**30} are "
            "held in memory; choose fewer timesteps or a smaller size"
        )


def key(parts: tuple[Recordings, Recordings], binning: Binning) -> str:
    """What the frames depend on: the binning, and the files' names, sizes, times of change, spans
    and labels."""
    digest = hashlib.sha256(repr(astuple(binning)).encode())
    for part in parts:
        for path, span, label in zip(part.paths, part.spans, part.labels, strict=True):
            found = (part.root / path).stat()
            line = f"{path} {found.st_size} {found.st_mtime_ns} {span} {label}\n"
            digest.update(line.encode())
    return digest.hexdigest()[:16]


def read_cache(path: Path) -> tuple[Frames, Frames] | None:
    """The frames in a file of the cache, or None where it is absent or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return archive["train"], archive["test"]
    except Exception:  # what a damaged archive raises has no common base
        return None


def write_cache(path: Path, train: Frames, test: Frames) -> None:
    """Whole or not at all: written beside its place, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=False) as partial, partial.open("wb") as file:
        np.savez_compressed(file, train=train, test=test)


def all_frames(recordings: Recordings, binning: Binning) -> Frames:
    """Frames of every recording, uint8 [N, T, 2, H, W]."""
    height, width = (binning.size or side for side in recordings.sensor)
    shape = (len(recordings.paths), binning.timesteps, 2, height, width)
    result = np.empty(shape, np.uint8)
    for index, (path, span) in enumerate(zip(recordings.paths, recordings.spans, strict=True)):
        events = within(recordings.read(recordings.root / path), span)
        check(events, recordings.sensor, recordings.root / path)
        result[index] = frames_of(events, recordings.sensor, binning)
    return result


def within(events: Events, span: Span | None) -> Events:
    """The events from the start of the span up to, not including, its end."""
    if span is None:
        return events
    chosen = (events.time_us >= span[0]) & (events.time_us < span[1])
    return Events(*(column[chosen] for column in events))


def check(events: Events, sensor: tuple[int, int], path: Path) -> None:
    """Raises DataError for a recording without events, or with one outside the sensor."""
    if not len(events.x):
        raise DataError(f"{path}: a recording without events")
    limits = (("x", events.x, sensor[1]), ("y", events.y, sensor[0]), ("p", events.polarity, 2))
    for name, column, limit in limits:
        if column.min() < 0 or column.max() >= limit:
            raise DataError(
                f"{path}: {name} must be 0 to {limit - 1}, got {column.min()} to {column.max()}"
            )


def frames_of(events: Events, sensor: tuple[int, int], binning: Binning) -> Frames:
    """Events counted by frame, polarity, row and column: uint8 [T, 2, H, W], at most 255.

    Frame = ⌊(t − t₀)·T / (t₁ − t₀ + 1)⌋ with the first and last event at t₀ and t₁, or
    ⌊(t − t₀) / window⌋; row = ⌊y·size / height⌋, and columns likewise.
    """
    steps = binning.timesteps
    height, width = (binning.size or side for side in sensor)
    time = events.time_us - events.time_us.min()
    if binning.window_ms is None:
        frame = time * steps // (time.max() + 1)
    else:
        frame = time // round(binning.window_ms * 1000)
    rows, columns = events.y * height // sensor[0], events.x * width // sensor[1]
    index = ((frame * 2 + events.polarity) * height + rows) * width + columns
    counts = np.bincount(index[frame < steps], minlength=steps * 2 * height * width)
    return np.minimum(counts, 255).astype(np.uint8).reshape(steps, 2, height, width)
