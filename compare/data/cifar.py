"""CIFAR-10 and CIFAR-100: pickled batches, read without running anything that a pickle may name.

A pickle is a program: it may call whatever it can import. Here it can import only what rebuilds a
numpy array, and everything else it holds must be a plain container, a number or text.
"""

import io
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from compare.data.errors import DataError
from compare.data.sources import (
    DATASETS,
    Contents,
    Pictures,
    Source,
    by_torchvision,
    difference,
    md5_of,
)

ROW = 3 * 32 * 32
CIFAR10_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
# A copy in circulation: the labels are whole, but 72 training and 20 test images were decoded from
# JPEG, and the key `filenames` is absent.
CIFAR10_JPEG_MD5 = {
    "data_batch_1": "0f4db39dc0103361f8ec19d342bfc12e",
    "data_batch_2": "d024cb48878e7d5d995f630c47f9d1fa",
    "data_batch_3": "220fc287afefe91b3fd06ad4ab258ef1",
    "data_batch_4": "33e1d644a2436be7d1db894bbe10b1d4",
    "data_batch_5": "9cb79a37e89cc200ced2e6e7688d3c2b",
    "test_batch": "2d4c46afeca2b0baf6a9967c8be5dfdf",
}
CIFAR10_JPEG_NOTE = "CIFAR-10 (92 images approximated)"
CIFAR100_MD5 = {
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
}
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip

# What a damaged or hostile pickle can make the unpickler raise.
BROKEN = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError,
    ImportError, MemoryError, OverflowError, RecursionError,
)  # fmt: skip


def latin1(text: str, encoding: str) -> bytes:
    """The one use of `codecs.encode` in a pickled array: bytes that were written as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r}")
    return text.encode("latin1")


def admitted() -> dict[tuple[str, str], Callable[..., Any]]:
    """What a pickle may import, under the names that numpy 1 and 2 write."""
    rebuild: Any = np.zeros(0, np.uint8).__reduce__()[0]
    return {
        ("_codecs", "encode"): latin1,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): rebuild,
        ("numpy._core.multiarray", "_reconstruct"): rebuild,
    }


class ArrayUnpickler(pickle.Unpickler):
    """Admits numpy arrays and plain containers; any other name in the file is an error."""

    ADMITTED = admitted()

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in self.ADMITTED:
            raise pickle.UnpicklingError(f"the file names {module}.{name}")
        return self.ADMITTED[(module, name)]


def unpickle(raw: bytes, name: str) -> dict[Any, Any]:
    """The dictionary in a pickled batch; raises DataError for anything else, running nothing."""
    try:
        batch = ArrayUnpickler(io.BytesIO(raw), encoding="latin1").load()
    except BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{name}: not a CIFAR batch of arrays and plain containers ({reason})"
        ) from error
    if not isinstance(batch, dict):
        raise DataError(f"{name}: expected a dictionary, got {type(batch).__name__}")
    return {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}


def pictures(batch: Mapping[Any, Any], labels_key: str, classes: int, name: str) -> Pictures:
    """Rows of 3,072 values (red, green, blue planes) as images [N, 3, 32, 32], with labels."""
    rows, labels = batch.get("data"), batch.get(labels_key)
    if not (isinstance(rows, np.ndarray) and rows.dtype == np.uint8 and rows.shape[1:] == (ROW,)):
        raise DataError(f"{name}: expected `data` as bytes of shape [N, {ROW}]")
    if not (
        isinstance(labels, list)
        and all(type(label) is int for label in labels)
        and len(labels) == len(rows) > 0
    ):
        raise DataError(f"{name}: expected `{labels_key}` as a list of {len(rows)} whole numbers")
    if not 0 <= min(labels) <= max(labels) < classes:
        raise DataError(
            f"{name}: labels must be 0 to {classes - 1}, got {min(labels)}..{max(labels)}"
        )
    return Pictures(rows.reshape(-1, 3, 32, 32), np.array(labels, np.int64))


def joined(parts: list[Pictures]) -> Pictures:
    """Several batches as one."""
    return Pictures(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


def read_files(
    folder: Path, names: Mapping[str, str], labels_key: str, classes: int
) -> tuple[list[Pictures], dict[str, str]]:
    """The batches in order, and the md5 of each file."""
    parts, digests = [], {}
    for name in names:
        try:
            raw = (folder / name).read_bytes()
        except OSError as error:
            raise DataError(f"{folder / name}: cannot be read ({error.strerror})") from error
        digests[name] = md5_of(raw)
        parts.append(pictures(unpickle(raw, str(folder / name)), labels_key, classes, name))
    return parts, digests


def read_cifar10(folder: Path) -> Contents:
    """CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 colour images, 32×32."""
    parts, digests = read_files(folder, CIFAR10_MD5, "labels", 10)
    note = difference("CIFAR-10", digests, CIFAR10_MD5)
    if digests == CIFAR10_JPEG_MD5:
        note = CIFAR10_JPEG_NOTE
    return Contents(joined(parts[:-1]), parts[-1], CIFAR10_CLASSES, not note, note)


def read_cifar100(folder: Path) -> Contents:
    """CIFAR-100 (Krizhevsky 2009): 50,000 + 10,000 colour images, 32×32, the 100 fine labels."""
    (train, test), digests = read_files(folder, CIFAR100_MD5, "fine_labels", 100)
    note = difference("CIFAR-100", digests, CIFAR100_MD5)
    return Contents(train, test, fine_names(folder), not note, note)


def fine_names(folder: Path) -> tuple[str, ...]:
    """The 100 names in the file `meta`, or the numbers 0 to 99 where it is absent."""
    path = folder / "meta"
    if not path.exists():
        return tuple(str(label) for label in range(100))
    names = unpickle(path.read_bytes(), str(path)).get("fine_label_names")
    if not (isinstance(names, list) and len(names) == 100 and all(type(n) is str for n in names)):
        raise DataError(f"{path}: expected 100 names under `fine_label_names`")
    return tuple(names)


DATASETS.add(
    Source(
        name="cifar10",
        description="CIFAR-10: 50,000 + 10,000 photographs of 10 kinds, 3×32×32",
        read=read_cifar10,
        places=("cifar-10-batches-py", ""),
        files=tuple(CIFAR10_MD5),
        download=by_torchvision("CIFAR10"),
        obtain="the Python version, unpacked in DIR/cifar-10-batches-py",
        augmentation="flip-crop",
    )
)
DATASETS.add(
    Source(
        name="cifar100",
        description="CIFAR-100: 50,000 + 10,000 photographs of 100 kinds, 3×32×32",
        read=read_cifar100,
        places=("cifar-100-python", ""),
        files=tuple(CIFAR100_MD5),
        download=by_torchvision("CIFAR100"),
        obtain="the Python version, unpacked in DIR/cifar-100-python",
        augmentation="flip-crop",
    )
)
