"""Reading picture files with Pillow: numpy arrays out, one-line errors that name the file."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from compare.data.errors import DataError

Pixels = npt.NDArray[np.uint8]

# What Pillow's many decoders raise on a damaged file has no common base.
BROKEN = Exception
GREY = ("1", "L")
READ = (*GREY, "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes of at most eight bits a channel, which become grey or colour without loss."""


def header(path: Path) -> tuple[tuple[int, int], bool]:
    """Width and height, and whether the picture is grey; the pixels are not decoded.

    Raises DataError for a mode of more than eight bits, e.g. grey of 16 bits.
    """
    try:
        with Image.open(path) as picture:
            size, mode = picture.size, picture.mode
    except BROKEN as error:
        raise DataError(f"{path}: not a readable picture") from error
    if mode not in READ:
        raise DataError(
            f"{path}: pictures must have 8 bits a channel (Pillow's modes {', '.join(READ)}), "
            f"got mode {mode}"
        )
    return size, mode in GREY


def decode(path: Path, grey: bool) -> Pixels:
    """The picture as it is, uint8 [1, H, W] where `grey`, else [3, H, W]."""
    try:
        with Image.open(path) as picture:
            array = np.asarray(picture.convert("L" if grey else "RGB"))
    except BROKEN as error:
        raise DataError(f"{path}: not a readable picture") from error
    return array[None].copy() if grey else np.ascontiguousarray(array.transpose(2, 0, 1))


def decode_square(path: Path, size: int) -> Pixels:
    """uint8 [3, size, size]: short side resized to size · 256/224 (bilinear), the centre cut out.

    The evaluation transform of ImageNet (He 2016: 256 → 224), kept in proportion for other sizes.
    """
    short = round(size * 256 / 224)
    try:
        with Image.open(path) as picture:
            colour = picture.convert("RGB")
    except BROKEN as error:
        raise DataError(f"{path}: not a readable picture") from error
    scale = short / min(colour.size)
    width, height = (max(short, round(side * scale)) for side in colour.size)
    left, top = (width - size) // 2, (height - size) // 2
    resized = colour.resize((width, height), Image.Resampling.BILINEAR)
    square = np.asarray(resized.crop((left, top, left + size, top + size)))
    return np.ascontiguousarray(square.transpose(2, 0, 1))
