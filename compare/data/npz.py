"""The user's own arrays: one .npz file with x_train, y_train, x_test, y_test, no pickles."""

import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compare.data.errors import DataError
from compare.data.sources import DATASETS, Contents, Pictures, Source

NAMES = ("x_train", "y_train", "x_test", "y_test")
CHANNELS = (1, 2, 3, 4)


def read(path: Path) -> Contents:
    """Images and labels of both parts; the classes are numbered 0 to K-1, each one present."""
    arrays = read_arrays(path)
    train, test = (
        part(arrays[f"x_{name}"], arrays[f"y_{name}"], f"{path}: {name}")
        for name in ("train", "test")
    )
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            f"{path}: x_train and x_test hold images of different shapes, "
            f"{train.images.shape[1:]} and {test.images.shape[1:]}"
        )
    counts = np.bincount(train.labels)
    if len(counts) < 2 or 0 in counts:
        raise DataError(
            f"{path}: y_train must hold every class from 0 to the largest, at least 2; "
            f"got {np.unique(train.labels).size} of {len(counts)}"
        )
    if test.labels.max() >= len(counts):
        raise DataError(f"{path}: y_test must be 0 to {len(counts) - 1}, got {test.labels.max()}")
    rounded = any(arrays[name].dtype.kind == "f" for name in ("x_train", "x_test"))
    return Contents(
        train,
        test,
        tuple(str(label) for label in range(len(counts))),
        note=f"{path.name}: pixels rounded to 8 bits" if rounded else "",
    )


def read_arrays(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """The four arrays; raises DataError for a file that is no archive, or lacks one, or pickles."""
    try:
        # Opened here, because numpy leaves a file open that turns out to be damaged.
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise DataError(f"{path}: not an .npz file of plain arrays")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                missing = [name for name in NAMES if name not in archive.files]
                if missing:
                    raise DataError(f"{path}: lacks {', '.join(missing)}")
                return {name: archive[name] for name in NAMES}
    except DataError:
        raise
    except Exception as error:  # what a damaged archive raises has no common base
        raise DataError(f"{path}: not an .npz file of plain arrays") from error


def part(x: npt.NDArray[np.generic], y: npt.NDArray[np.generic], name: str) -> Pictures:
    """One part as bytes [N, C, H, W] with its labels, checked."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if x.ndim == 0 or y.ndim != 1 or y.dtype.kind not in "iu" or not 0 < len(y) == len(x):
        raise DataError(
            f"{name}: expected a whole-number label for each of the images [N, ...], N > 0, got "
            f"labels {y.shape} of {y.dtype} for images {x.shape}"
        )
    labels = y.astype(np.int64)
    if labels.min() < 0:
        raise DataError(f"{name}: labels must not be negative, got {labels.min()}")
    if labels.max() >= 100_000:
        raise DataError(f"{name}: labels must be below 100000, got {labels.max()}")
    return Pictures(channels_first(bytes_of(x, name), name), labels)


def bytes_of(x: npt.NDArray[np.generic], name: str) -> npt.NDArray[np.uint8]:
    """Pixels as bytes: whole numbers 0 to 255 as they are, fractions 0 to 1 times 255, rounded.

    True is 255, as white is in a picture of one bit.
    """
    if x.dtype.kind not in "biuf":
        raise DataError(f"{name}: pixels must be numbers, got {x.dtype}")
    if x.size == 0:
        raise DataError(f"{name}: images without pixels, {x.shape}")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise DataError(f"{name}: pixels must be finite, got NaN or infinity")
    top = 1 if x.dtype.kind in "bf" else 255
    if x.min() < 0 or x.max() > top:
        raise DataError(
            f"{name}: pixels of type {x.dtype} must be 0 to {top}, got {x.min()} to {x.max()}"
        )
    return np.rint(x.astype(np.float64) * 255).astype(np.uint8) if top == 1 else x.astype(np.uint8)


def channels_first(x: npt.NDArray[np.uint8], name: str) -> npt.NDArray[np.uint8]:
    """[N, H, W], [N, C, H, W] or [N, H, W, C] as [N, C, H, W]; C is 1 to 4 and must stand out."""
    if x.ndim == 3:
        return x[:, None]
    first, last = (x.ndim == 4 and x.shape[axis] in CHANNELS for axis in (1, 3))
    if first == last:
        raise DataError(
            f"{name}: expected images [N, H, W], [N, C, H, W] or [N, H, W, C] with C from 1 to 4 "
            f"and sides larger than that, got {x.shape}"
        )
    return x if first else np.ascontiguousarray(x.transpose(0, 3, 1, 2))


DATASETS.add(
    Source(
        name="npz:PATH",
        description="your own arrays: x_train, y_train, x_test, y_test in one .npz file",
        read=read,
        obtain="numpy.savez(PATH, x_train=..., y_train=..., x_test=..., y_test=...)",
    )
)
