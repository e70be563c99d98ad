"""The figures' font: DejaVu Sans cut down to the signs that figures use.

Every PDF carries its font (TrueType, as journals ask), and cutting a font of 6,000 signs anew for
each file takes longer than drawing it. Cut once per process, it costs next to nothing.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

FAMILY = "Isospike Sans"
FALLBACK = "DejaVu Sans"
SIGNS = (
    *range(0x20, 0x180),  # Latin
    *range(0x370, 0x400),  # Greek
    *range(0x2010, 0x2030),  # dashes, dots, daggers
    *range(0x2070, 0x20A0),  # superscripts and subscripts
    *range(0x2190, 0x2200),  # arrows
    *range(0x2200, 0x2300),  # mathematics
)


@cache
def families() -> tuple[str, ...]:
    """Names of the fonts to look signs up in, in turn; ours is made at the first call."""
    from matplotlib import font_manager

    folder = Path(tempfile.mkdtemp(prefix="isospike-fonts-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for weight in ("normal", "bold"):
        source = font_manager.findfont(font_manager.FontProperties(family=FALLBACK, weight=weight))
        path = folder / f"{weight}.ttf"
        _cut(source, path)
        font_manager.fontManager.addfont(str(path))
    return (FAMILY, FALLBACK)


def _cut(source: str, path: Path) -> None:
    from fontTools import subset

    options = subset.Options(hinting=True, layout_features=[], name_IDs=["*"], name_languages=["*"])
    options.drop_tables += ["GSUB", "GPOS", "GDEF", "FFTM", "MATH"]
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=SIGNS)
    with subset.load_font(source, options) as font:
        cutter.subset(font)
        _rename(font)
        font.save(path)


def _rename(font: Any) -> None:
    for record in font["name"].names:
        text = (
            record.toUnicode().replace("DejaVu Sans", FAMILY).replace("DejaVuSans", "IsospikeSans")
        )
        record.string = text
