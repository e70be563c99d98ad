"""SVHN, street view house numbers (Netzer 2011): two MATLAB files, 73,257 + 26,032 images."""

from pathlib import Path

import numpy as np

from compare.data.errors import DataError
from compare.data.idx import DIGITS
from compare.data.sources import DATASETS, Contents, Pictures, Source, difference, md5_of

MD5 = {
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}


def read_file(path: Path) -> tuple[Pictures, str]:
    """One file and its md5: `X` is [32, 32, 3, N], `y` is [N, 1] with 10 for the digit 0."""
    from scipy.io import loadmat

    try:
        found = loadmat(path, variable_names=("X", "y"))
        digest = md5_of(path.read_bytes())
    except Exception as error:  # what a damaged file raises has no common base
        raise DataError(f"{path}: not a readable MATLAB file") from error
    images, labels = found.get("X"), found.get("y")
    if images is None or labels is None:
        raise DataError(f"{path}: expected the variables X and y")
    if images.dtype != np.uint8 or images.shape[:3] != (32, 32, 3) or images.ndim != 4:
        raise DataError(f"{path}: expected X as bytes of shape [32, 32, 3, N], got {images.shape}")
    if labels.size != images.shape[3] or labels.size == 0:
        raise DataError(f"{path}: expected {images.shape[3]} labels, got {labels.size}")
    digits = labels.astype(np.int64).ravel()
    if not 1 <= digits.min() <= digits.max() <= 10:
        raise DataError(f"{path}: labels must be 1 to 10, got {digits.min()} to {digits.max()}")
    return Pictures(np.ascontiguousarray(images.transpose(3, 2, 0, 1)), digits % 10), digest


def read(folder: Path) -> Contents:
    """The cropped digits, training and test (the 531,131 easier `extra` images are not used)."""
    parts, digests = [], {}
    for name in MD5:
        part, digests[name] = read_file(folder / name)
        parts.append(part)
    note = difference("SVHN", digests, MD5)
    return Contents(parts[0], parts[1], DIGITS, not note, note)


def download(directory: Path) -> None:
    """By torchvision, which checks the md5 of both files."""
    from torchvision.datasets import SVHN

    for split in ("train", "test"):
        SVHN(str(directory), split=split, download=True)


DATASETS.add(
    Source(
        name="svhn",
        description="SVHN: 73,257 + 26,032 photographs of house numbers, cropped digits, 3×32×32",
        read=read,
        places=("", "SVHN", "svhn"),
        files=tuple(MD5),
        download=download,
        obtain="train_32x32.mat and test_32x32.mat in DIR",
        augmentation="shift",
    )
)
