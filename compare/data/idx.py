"""MNIST and Fashion-MNIST: files of the idx format, packed by gzip or not.

Format (LeCun, Cortes, Burges): two zero bytes, a type byte (8: unsigned byte), the number of axes,
the length of each axis as a big-endian 32-bit integer, then the values, last axis fastest.
"""

import gzip
import math
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

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

UNSIGNED_BYTE = 8
DIGITS = tuple(str(digit) for digit in range(10))
CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

# md5 of the unpacked files, so that both forms are recognised, however they were packed.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
FASHION_MD5 = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
FILES = tuple(MNIST_MD5)


def read_bytes(folder: Path, name: str) -> bytes:
    """The unpacked content of `name`, or of `name.gz` where only that is there."""
    plain = folder / name
    path = plain if plain.exists() else folder / f"{name}.gz"
    try:
        raw = path.read_bytes()
        return raw if path == plain else gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason})") from error


def parse(raw: bytes, name: str) -> npt.NDArray[np.uint8]:
    """The array in an idx file of unsigned bytes; raises DataError for anything else."""
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != UNSIGNED_BYTE or not 1 <= raw[3] <= 4:
        raise DataError(
            f"{name}: not an idx file of unsigned bytes (starts with {raw[:4].hex()!r})"
        )
    start = 4 + 4 * raw[3]
    shape = tuple(int.from_bytes(raw[at : at + 4], "big") for at in range(4, start, 4))
    if 0 in shape:
        raise DataError(f"{name}: holds nothing, its header says {shape}")
    if len(raw) != start + math.prod(shape):
        raise DataError(
            f"{name}: {len(raw)} bytes, but its header says {start + math.prod(shape)}; "
            "the file is cut off or damaged"
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def pictures(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8], name: str) -> Pictures:
    """Grey images [N, H, W] and their labels [N] as one channel; raises where they do not fit."""
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or len(labels) == 0:
        raise DataError(
            f"{name}: expected images [N, height, width] and N labels, N > 0, "
            f"got {images.shape} and {labels.shape}"
        )
    if labels.max() >= 10:
        raise DataError(f"{name}: labels must be 0 to 9, got {labels.max()}")
    return Pictures(images[:, None], labels.astype(np.int64))


def read(
    folder: Path, title: str, official: Mapping[str, str], classes: tuple[str, ...]
) -> Contents:
    """The four files of a folder; files of the other data set of this format are refused."""
    raw = {name: read_bytes(folder, name) for name in FILES}
    digests = {name: md5_of(content) for name, content in raw.items()}
    for other, other_md5 in (("MNIST", MNIST_MD5), ("Fashion-MNIST", FASHION_MD5)):
        if other != title and digests == other_md5:
            raise DataError(f"{folder}: holds {other}, not {title}")
    note = difference(title, digests, official)
    arrays = {name: parse(content, str(folder / name)) for name, content in raw.items()}
    return Contents(
        train=pictures(arrays[FILES[0]], arrays[FILES[1]], f"{folder}: train"),
        test=pictures(arrays[FILES[2]], arrays[FILES[3]], f"{folder}: t10k"),
        classes=classes,
        official=not note,
        note=note,
    )


def read_mnist(folder: Path) -> Contents:
    """MNIST: 60,000 + 10,000 handwritten digits, 28×28."""
    return read(folder, "MNIST", MNIST_MD5, DIGITS)


def read_fashion(folder: Path) -> Contents:
    """Fashion-MNIST (Xiao 2017): 60,000 + 10,000 photographs of clothes, 28×28."""
    return read(folder, "Fashion-MNIST", FASHION_MD5, CLOTHES)


DATASETS.add(
    Source(
        name="mnist",
        description="MNIST: 60,000 + 10,000 handwritten digits, 1×28×28",
        read=read_mnist,
        places=("MNIST/raw", "MNIST", "mnist", ""),
        files=FILES,
        packed=True,
        download=by_torchvision("MNIST"),
        obtain="the four idx files, also as .gz, in DIR/MNIST/raw",
        augmentation="shift",
    )
)
DATASETS.add(
    Source(
        name="fashion-mnist",
        description="Fashion-MNIST: 60,000 + 10,000 photographs of clothes, 1×28×28",
        read=read_fashion,
        places=("FashionMNIST/raw", "FashionMNIST", "fashion-mnist", ""),
        files=FILES,
        packed=True,
        download=by_torchvision("FashionMNIST"),
        obtain="the four idx files, also as .gz, in DIR/FashionMNIST/raw "
        "(Debian: package dataset-fashion-mnist, --data /usr/share/datasets)",
        augmentation="flip-crop",
    )
)
