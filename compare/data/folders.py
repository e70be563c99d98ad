"""Directories of pictures, one per class: the user's own, Imagenette and ImageNet."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compare.data.errors import DataError
from compare.data.pictures import decode, decode_square, header
from compare.data.sources import (
    DATASETS,
    Contents,
    PictureFiles,
    Pictures,
    Source,
    by_torchvision,
)

LARGEST_BYTES = 8 * 2**30  # of a data set that is held in memory

# Imagenette's folders are named by WordNet identifiers.
IMAGENETTE = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
# The convention for ImageNet (torchvision's reference training), on pixels in [0, 1].
IMAGENET_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def visible(folder: Path) -> list[Path]:
    """What a folder holds, by name; names that start with a dot are left out."""
    try:
        return sorted(
            (path for path in folder.iterdir() if not path.name.startswith(".")),
            key=lambda path: path.name,
        )
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror})") from error


def class_names(folder: Path) -> tuple[str, ...]:
    """The names of the folders below `folder`, sorted; raises DataError where there are none."""
    names = tuple(path.name for path in visible(folder) if path.is_dir())
    if not names:
        raise DataError(f"{folder}: expected one directory per class, got none")
    return names


def listed(
    root: Path, part: str, classes: tuple[str, ...]
) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """The files of a part relative to `root`, with their labels, class by class.

    Raises DataError for a class without files, or a part whose classes are other ones.
    """
    if class_names(root / part) != classes:
        odd = sorted(set(class_names(root / part)) ^ set(classes))
        raise DataError(f"{root / part}: its classes differ from those of train: {', '.join(odd)}")
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        files = [path.name for path in visible(root / part / name) if path.is_file()]
        if not files:
            raise DataError(f"{root / part / name}: a class without a picture")
        paths += [f"{part}/{name}/{file}" for file in files]
        labels += [label] * len(files)
    return tuple(paths), np.array(labels, np.int64)


def refuse_large(images: int, values_per_image: int, place: Path) -> None:
    """Raises DataError where the images would take more memory than one should hold."""
    if images * values_per_image > LARGEST_BYTES:
        raise DataError(
            f"{place}: {images} images of {values_per_image} bytes are more than the "
            f"{LARGEST_BYTES // 2**30} GiB that are held in memory; make the pictures smaller"
        )


def same_size(root: Path, paths: tuple[str, ...]) -> tuple[tuple[int, int], bool]:
    """The one size (width, height) of all pictures, and whether all of them are grey."""
    first, all_grey = header(root / paths[0])
    for path in paths:
        size, grey = header(root / path)
        all_grey = all_grey and grey
        if size != first:
            raise DataError(
                f"{root / path}: {size[0]}×{size[1]} pixels, but the pictures before it have "
                f"{first[0]}×{first[1]}; all must have one size"
            )
    return first, all_grey


def read_own(root: Path) -> Contents:
    """train/CLASS/*, test/CLASS/*, all of one size: one channel where all are grey, else three."""
    classes = class_names(root / "train")
    if len(classes) < 2:
        raise DataError(f"{root / 'train'}: expected at least 2 classes, got {len(classes)}")
    parts = [listed(root, part, classes) for part in ("train", "test")]
    every = parts[0][0] + parts[1][0]
    (width, height), grey = same_size(root, every)
    refuse_large(len(every), width * height * (1 if grey else 3), root)
    train, test = (
        Pictures(np.stack([decode(root / path, grey) for path in paths]), labels)
        for paths, labels in parts
    )
    return Contents(train, test, classes)


def read_imagenette(size: int, folder: Path) -> Contents:
    """9,469 + 3,925 photographs of 10 kinds: short side resized, the centre of size × size kept."""
    wnids = class_names(folder / "train")
    if set(wnids) != set(IMAGENETTE):
        raise DataError(
            f"{folder}: expected the {len(IMAGENETTE)} classes of Imagenette, "
            f"{', '.join(sorted(IMAGENETTE)[:2])}, ..., got {len(wnids)}: {wnids[0]}, ..."
        )
    parts = []
    for part in ("train", "val"):
        paths, labels = listed(folder, part, wnids)
        refuse_large(len(paths), 3 * size * size, folder / part)
        images = np.empty((len(paths), 3, size, size), np.uint8)
        for index, path in enumerate(paths):
            images[index] = decode_square(folder / path, size)
        parts.append(Pictures(images, labels))
    classes = tuple(IMAGENETTE[wnid] for wnid in wnids)
    note = other_numbers("Imagenette", [len(part.labels) for part in parts], (9_469, 3_925))
    return Contents(parts[0], parts[1], classes, note=note)


def read_imagenet(folder: Path) -> Contents:
    """1,281,167 + 50,000 photographs of 1,000 kinds, decoded batch by batch to 3×224×224."""
    wnids = class_names(folder / "train")
    train, test = (
        PictureFiles(folder, *listed(folder, part, wnids), size=224) for part in ("train", "val")
    )
    counts = (1_281_167, 50_000)
    note = other_numbers("ImageNet", [len(part.labels) for part in (train, test)], counts)
    return Contents(train, test, wnids, note=note)


def other_numbers(title: str, found: Sequence[int], official: Sequence[int]) -> str:
    """A note on numbers of training and test pictures that are not the official ones."""
    if tuple(found) == tuple(official):
        return ""
    ours, theirs = (" + ".join(f"{count:,}" for count in counts) for counts in (found, official))
    return f"{title}: {ours} pictures, the official numbers are {theirs}"


for name, pixels in (("imagenette", 128), ("imagenette-64", 64)):
    DATASETS.add(
        Source(
            name=name,
            description="Imagenette: 9,469 + 3,925 photographs of 10 kinds of ImageNet, "
            f"3×{pixels}×{pixels}",
            read=partial(read_imagenette, pixels),
            places=("imagenette2-160", "imagenette2-320", "imagenette2", "imagenette", ""),
            files=("train", "val"),
            download=by_torchvision("Imagenette", size="160px"),
            obtain="the unpacked archive imagenette2-160 (train/, val/) in DIR",
            augmentation="flip-crop",
        )
    )
DATASETS.add(
    Source(
        name="imagenet",
        description="ImageNet 2012: 1,281,167 + 50,000 photographs of 1,000 kinds, 3×224×224, "
        "read from disk batch by batch",
        read=read_imagenet,
        places=("imagenet", "ImageNet", ""),
        files=("train", "val"),
        obtain="the pictures (after registration at image-net.org) in DIR/imagenet/train/WNID and "
        "DIR/imagenet/val/WNID",
        augmentation="flip-crop",
        statistics=IMAGENET_STATISTICS,
    )
)
DATASETS.add(
    Source(
        name="folder:PATH",
        description="your own pictures: PATH/train/CLASS/* and PATH/test/CLASS/*, all of one size",
        read=read_own,
        files=("train", "test"),
        obtain="one directory per class with pictures in PATH/train and in PATH/test",
    )
)
