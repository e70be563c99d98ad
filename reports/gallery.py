"""docs/gallery.md from finished studies: `python -m reports.gallery DIR [DIR ...] [--out DIR]`.

Every figure is drawn from the first of the studies that has data for it, at the size of a paper
column, with the command that made the study and the lines that draw it again.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import pandas as pd

import reports
from reports.analysis import Analysis
from reports.figures import FIGURES, Figure, caption, leading, render
from reports.provenance import commands
from reports.style import SIZES, settings

MOST_PANELS = 2
COLOURS = 64
"""Colours of an image in the gallery, so that all of it stays small."""

ON_A_SLIDE = "accuracy-timesteps"
HEAD = """# Gallery

Written by `{command}` from the records of finished studies.
Images are drawn for a paper column (3.5 inches a panel); `isospike report DIR` writes each figure
of a study, all its panels, as SVG, PNG and PDF. One method has one colour and one marker in all of
them, and its other settings in one network darker shades with markers of their own. Conversions
have cool colours, broken lines and full markers, direct training warm colours, solid lines and
hollow markers, so that both can be told apart in black and white.

In a notebook every figure draws onto axes of yours, and every table is a DataFrame:

```python
import matplotlib.pyplot as plt
import reports

study = reports.study("{study}")
figure, ax = plt.subplots()
reports.draw("accuracy-timesteps", study, ax=ax)  # one panel onto your axes
reports.draw("confusion", study, size="slide")  # a whole figure, all panels
reports.table("summary", study)  # pandas.DataFrame, raw numbers
records = reports.load("{study}")  # one row per case and timestep
```
"""


class GalleryError(ValueError):
    """Studies from which the gallery cannot be made."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One figure of the gallery: its rows, and the study they are from."""

    figure: Figure
    rows: pd.DataFrame
    analysis: Analysis


def build(directories: Sequence[Path], out: Path, command: str) -> Path:
    """Write OUT/gallery.md and OUT/gallery/*.png; every figure of the registry must have data."""
    found = entries([Analysis(reports.study(directory)) for directory in directories])
    missing = [name for name in FIGURES if name not in found]
    if missing:
        raise GalleryError(f"none of the studies has data for {', '.join(missing)}")
    images = out / "gallery"
    images.mkdir(parents=True, exist_ok=True)
    for old in images.glob("*.png"):
        old.unlink()
    text = [HEAD.format(command=command, study=directories[0].as_posix())]
    for entry in found.values():
        save_small(entry, images / f"{entry.figure.name}.png")
        text.append(_section(entry))
    slide = found[ON_A_SLIDE]
    save_small(slide, images / f"{ON_A_SLIDE}-slide.png", "slide")
    text.append(_slide(slide))
    path = out / "gallery.md"
    path.write_text("\n".join(text), encoding="utf-8")
    return path


def entries(analyses: Sequence[Analysis]) -> dict[str, Entry]:
    """Each figure that one of the studies has data for, from the first that has."""
    found = {}
    for name, figure in FIGURES.items():
        for analysis in analyses:
            rows = figure.prepare(analysis)
            if len(rows):
                found[name] = Entry(figure, few(figure, rows, analysis), analysis)
                break
    return found


def few(figure: Figure, rows: pd.DataFrame, analysis: Analysis) -> pd.DataFrame:
    """Rows of at most MOST_PANELS panels: the leading methods', of the last networks."""
    shown, _ = leading(figure, rows, analysis, MOST_PANELS)
    panels = list(shown["panel"].unique())[-MOST_PANELS:]
    return shown[shown["panel"].isin(panels)]


def save_small(entry: Entry, path: Path, size: str = "column") -> None:
    """A PNG with few colours."""
    from PIL import Image

    canvas = render(entry.figure, entry.rows, SIZES[size])
    buffer = io.BytesIO()
    with matplotlib.rc_context(settings(SIZES[size].scale)):
        canvas.savefig(buffer, format="png", dpi=110 if size == "slide" else 200)
    image = Image.open(buffer).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def _section(entry: Entry) -> str:
    figure, study = entry.figure, entry.analysis.study
    panels = entry.rows["panel"].nunique()
    chosen = "" if panels > 1 else f', panel="{entry.rows["panel"].iloc[0]}"'
    made = commands(entry.analysis)
    lines = [
        f"## {figure.title}",
        "",
        f"![{figure.title}](gallery/{figure.name}.png)",
        "",
        caption(figure, entry.rows),
        "",
        "```sh",
        *made,
        f"isospike report {study.directory.as_posix()}    # report/figures/{figure.name}.svg",
        "```",
        "",
        "```python",
        f'study = reports.study("{study.directory.as_posix()}")',
        f'reports.draw("{figure.name}", study{chosen})',
        "```",
        "",
    ]
    return "\n".join(lines)


def _slide(entry: Entry) -> str:
    name, home = entry.figure.name, entry.analysis.study.directory.as_posix()
    lines = [
        "## For a slide",
        "",
        f"![{entry.figure.title}, for a slide](gallery/{name}-slide.png)",
        "",
        "Any figure, with text, lines and markers twice as large:",
        "",
        "```python",
        f'study = reports.study("{home}")',
        f'reports.draw("{name}", study, size="slide")',
        "```",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Write the gallery from the command line."""
    parser = argparse.ArgumentParser(prog="python -m reports.gallery", description=__doc__)
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, default=Path("docs"), metavar="DIR")
    chosen = parser.parse_args()
    command = " ".join(["python -m reports.gallery", *sys.argv[1:]])
    sys.stdout.write(f"{build(chosen.directories, chosen.out, command)}\n")


if __name__ == "__main__":
    main()
