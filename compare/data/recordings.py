"""Recordings of event cameras: N-MNIST, DVS-Gesture, CIFAR10-DVS, in the layouts tonic downloads.

DVS-Gesture is also read from the authors' own AEDAT 3.1 files. Needs the extra `events`.
"""

import re
import struct
from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from compare.data.cifar import CIFAR10_CLASSES
from compare.data.errors import DataError
from compare.data.folders import class_names, listed, visible
from compare.data.idx import DIGITS
from compare.data.sources import DATASETS, Contents, Events, Recordings, Source, Span
from compare.data.splits import hold_out

GESTURES = (
    "hand clapping", "right hand wave", "left hand wave", "right arm clockwise",
    "right arm counter-clockwise", "left arm clockwise", "left arm counter-clockwise",
    "arm roll", "air drums", "air guitar", "other gestures",
)  # fmt: skip
AEDAT_HEADER_BYTES, POLARITY_EVENT = 28, 1


def tonic(module: str) -> ModuleType:
    """A module of tonic; raises DataError where the extra is not installed."""
    if find_spec("tonic") is None:
        raise DataError("event data needs tonic, which is not installed: pip install tonic aedat")
    return import_module(f"tonic.{module}")


def from_columns(
    x: npt.ArrayLike, y: npt.ArrayLike, polarity: npt.ArrayLike, time_us: npt.ArrayLike
) -> Events:
    """The four columns as int64."""
    return Events(*(np.asarray(column, dtype=np.int64) for column in (x, y, polarity, time_us)))


def read_nmnist_file(path: Path) -> Events:
    """Five bytes per event (Orchard 2015): x, y, then polarity and 23 bits of µs."""
    if path.stat().st_size % 5:
        raise DataError(f"{path}: {path.stat().st_size} bytes, not a multiple of the 5 of an event")
    names = np.dtype([(name, np.int64) for name in ("x", "y", "t", "p")])
    found = tonic("io").read_mnist_file(str(path), dtype=names)
    return from_columns(found["x"], found["y"], found["p"], found["t"])


def read_gesture_array(path: Path) -> Events:
    """tonic's copy: an array [N, 4] of x, y, polarity and time in ms."""
    try:
        found = np.load(path, allow_pickle=False)
    except Exception as error:  # what a damaged header raises has no common base
        raise DataError(f"{path}: not a readable array") from error
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.shape[1] != 4:
        raise DataError(f"{path}: expected an array [N, 4] of x, y, polarity, time")
    return from_columns(found[:, 0], found[:, 1], found[:, 2], found[:, 3].astype(np.int64) * 1000)


def read_aedat4_file(path: Path) -> Events:
    """AEDAT 4, by tonic and the package aedat that it asks for."""
    if find_spec("aedat") is None:
        raise DataError("CIFAR10-DVS needs aedat, which is not installed: pip install tonic aedat")
    try:
        found = tonic("io").read_aedat4(str(path))
    except Exception as error:  # of a library in another language
        raise DataError(f"{path}: not a readable AEDAT 4 file") from error
    time, x, y, polarity = (found[name] for name in found.dtype.names)
    return from_columns(x, y, polarity, time)


@lru_cache(maxsize=1)
def read_aedat3_file(path: Path) -> Events:
    """AEDAT 3.1, a dozen gestures in one file; the last file read is kept.

    After lines that start with #: packets of a header of 28 bytes (type and source as 16 bits; size
    of an event, offset of its time, overflows of the clock, capacity, number, valid number as 32)
    and the events. A polarity event is 32 bits (valid, polarity, 15 of y, 15 of x) and 32 of µs.
    """
    raw = path.read_bytes()
    if not raw.startswith(b"#!AER-DAT3"):
        raise DataError(f"{path}: not an AEDAT 3 file")
    at = 0
    while raw[at : at + 1] == b"#":
        at = raw.find(b"\n", at) + 1 or len(raw)
    packets: list[npt.NDArray[np.int64]] = []
    while at < len(raw):
        packet = raw[at : at + AEDAT_HEADER_BYTES]
        if len(packet) < AEDAT_HEADER_BYTES:
            raise DataError(f"{path}: cut off in a packet header at byte {at}")
        kind, _, size, _, overflow, _, number, _ = struct.unpack("<HHIIIIII", packet)
        at += AEDAT_HEADER_BYTES
        if at + size * number > len(raw):
            raise DataError(f"{path}: cut off in a packet at byte {at}")
        if kind == POLARITY_EVENT and size == 8:
            pairs = np.frombuffer(raw, "<u4", 2 * number, at).reshape(-1, 2).astype(np.int64)
            pairs[:, 1] += overflow << 31
            packets.append(pairs[pairs[:, 0] & 1 == 1])
        at += size * number
    if not packets:
        raise DataError(f"{path}: holds no polarity events")
    data, time = np.concatenate(packets).T
    return from_columns((data >> 17) & 0x7FFF, (data >> 2) & 0x7FFF, (data >> 1) & 1, time)


def whole_files(
    root: Path, part: str, names: tuple[str, ...], sensor: tuple[int, int]
) -> Recordings:
    """N-MNIST's layout: one directory per digit, one file per recording."""
    paths, labels = listed(root, part, names)
    return Recordings(root, paths, (None,) * len(paths), labels, sensor, read_nmnist_file)


def read_nmnist(root: Path) -> Contents:
    """N-MNIST (Orchard 2015): 60,000 + 10,000 digits before a moving camera, 34×34."""
    parts = [whole_files(root, part, DIGITS, (34, 34)) for part in ("Train", "Test")]
    return Contents(parts[0], parts[1], DIGITS)


def read_gesture(root: Path) -> Contents:
    """DVS-Gesture (Amir 2017): 11 gestures of 29 people, 128×128, in either layout."""
    if (root / "trials_to_train.txt").exists():
        parts = [original_gestures(root, f"trials_to_{part}.txt") for part in ("train", "test")]
    else:
        parts = [packed_gestures(root, f"ibmGesture{part}") for part in ("Train", "Test")]
    return Contents(parts[0], parts[1], GESTURES)


def packed_gestures(root: Path, part: str) -> Recordings:
    """tonic's layout: userNN_LIGHT/LABEL.npy, labels from 0."""
    paths = [
        f"{part}/{folder}/{file.name}"
        for folder in class_names(root / part)
        for file in visible(root / part / folder)
        if re.fullmatch(r"\d+\.npy", file.name)
    ]
    labels = checked_gestures((int(Path(path).stem) for path in paths), root / part)
    spans = (None,) * len(paths)
    return Recordings(root, tuple(paths), spans, labels, (128, 128), read_gesture_array)


def original_gestures(root: Path, trials: str) -> Recordings:
    """The authors' layout: a list of .aedat files, each with a table of class, start, end in µs."""
    paths: list[str] = []
    spans: list[Span] = []
    numbers: list[int] = []
    for file in lines(root / trials):
        table = root / file.replace(".aedat", "_labels.csv")
        for row in lines(table)[1:]:
            if not re.fullmatch(r"\d+,\d+,\d+", row):
                raise DataError(f"{table}: expected class,start,end as whole numbers, got {row!r}")
            number, start, end = map(int, row.split(","))
            paths.append(file)
            spans.append((start, end))
            numbers.append(number - 1)
    labels = checked_gestures(numbers, root / trials)
    return Recordings(root, tuple(paths), tuple(spans), labels, (128, 128), read_aedat3_file)


def lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty."""
    try:
        return [line.strip() for line in path.read_text("ascii").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text") from error


def checked_gestures(numbers: Iterable[int], place: Path) -> npt.NDArray[np.int64]:
    """Labels 0 to 10; raises DataError for others, or none."""
    labels = np.array(list(numbers), np.int64)
    if labels.size == 0 or not 0 <= labels.min() <= labels.max() < len(GESTURES):
        raise DataError(f"{place}: expected recordings of gestures 0 to {len(GESTURES) - 1}")
    return labels


def read_cifar10_dvs(root: Path) -> Contents:
    """CIFAR10-DVS (Li 2017): 10,000 images before an event camera, 128×128.

    It has no test set of its own: a tenth is held out once for all, balanced, 9,000 + 1,000 as in
    Zheng 2021.
    """
    paths, labels = listed(root.parent, root.name, CIFAR10_CLASSES)
    kept, tested = hold_out(labels, max(1, len(labels) // 10))
    parts = [
        Recordings(
            root.parent,
            tuple(paths[index] for index in chosen),
            (None,) * len(chosen),
            labels[chosen],
            (128, 128),
            read_aedat4_file,
        )
        for chosen in (kept, tested)
    ]
    return Contents(parts[0], parts[1], CIFAR10_CLASSES)


def download_nmnist(directory: Path) -> None:
    """By tonic, which checks the md5 of the archives."""
    for train in (True, False):
        tonic("datasets").NMNIST(str(directory), train=train)


def download_gesture(directory: Path) -> None:
    """By tonic, which checks the md5 of the archives."""
    for train in (True, False):
        tonic("datasets").DVSGesture(str(directory), train=train)


def download_cifar10_dvs(directory: Path) -> None:
    """By tonic, which checks the md5 of the archive."""
    tonic("datasets").CIFAR10DVS(str(directory))


DATASETS.add(
    Source(
        name="nmnist",
        description="N-MNIST: 60,000 + 10,000 event recordings of digits, T×2×34×34",
        read=read_nmnist,
        places=("NMNIST", ""),
        files=("Train", "Test"),
        download=download_nmnist,
        obtain="the recordings in DIR/NMNIST/Train/DIGIT/*.bin and DIR/NMNIST/Test/DIGIT/*.bin",
        kind="events",
    )
)
DATASETS.add(
    Source(
        name="dvs-gesture",
        description="DVS-Gesture: event recordings of 11 gestures by 29 people, T×2×128×128",
        read=read_gesture,
        places=("DVSGesture", "DvsGesture", ""),
        files=("ibmGestureTrain", "ibmGestureTest"),
        also=("trials_to_train.txt", "trials_to_test.txt"),
        download=download_gesture,
        obtain="tonic's folders in DIR/DVSGesture, or the authors' .aedat files in DIR/DvsGesture",
        kind="events",
    )
)
DATASETS.add(
    Source(
        name="cifar10-dvs",
        description="CIFAR10-DVS: 9,000 + 1,000 event recordings of CIFAR-10 images, T×2×128×128",
        read=read_cifar10_dvs,
        places=("CIFAR10DVS",),
        files=CIFAR10_CLASSES,
        download=download_cifar10_dvs,
        obtain="the recordings in DIR/CIFAR10DVS/CLASS/*.aedat4",
        kind="events",
    )
)
