"""How figures look: one colour, marker and dash per method, sizes, fonts, and saving."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.fonts import families

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

BLACK = "#000000"
GREY = "#767676"
COOL = ("#2C7FB8", "#35978F", "#5E4FA2", "#1B7837", "#41AB5D", "#4393C3", "#225EA8", "#807DBA")
WARM = ("#DE2D26", "#BF812D", "#A50F15", "#8C510A", "#FC8D59", "#CB181D", "#F16913", "#D94801")
"""Colours of the user's own conversions and rules: none of a method of ours."""

Dash = tuple[float, tuple[float, ...]]
SOLID: Dash = (0, ())
DASHED: Dash = (0, (5, 1.6))
DOTTED: Dash = (0, (1.2, 1.2))
DASH_DOT: Dash = (0, (5, 1.4, 1.2, 1.4))
LONG: Dash = (0, (9, 2))
DASH_DOT_DOT: Dash = (0, (5, 1.2, 1.2, 1.2, 1.2, 1.2))
BROKEN = (DASHED, DASH_DOT, DOTTED, LONG, DASH_DOT_DOT)
DASHES = (SOLID, *BROKEN)
MARKERS = "os^DvP*X<>phd"


@dataclass(frozen=True)
class Look:
    """How one method is drawn. Directly trained networks have hollow markers."""

    colour: str
    marker: str
    dash: Dash
    hollow: bool = False

    def line(self) -> dict[str, Any]:
        """Arguments of a line with markers."""
        face = "white" if self.hollow else self.colour
        return {
            "color": self.colour,
            "marker": self.marker,
            "linestyle": self.dash,
            "markerfacecolor": face,
            "markeredgecolor": self.colour,
        }


METHODS: Mapping[str, Look] = {
    "ann": Look(BLACK, "None", SOLID),
    "qcfs-ann": Look(GREY, "None", LONG),
    "data-norm": Look("#0072B2", "o", DASHED),
    "model-norm": Look("#332288", "v", DASH_DOT_DOT),
    "robust-norm": Look("#56B4E9", "s", DASH_DOT),
    "channel-norm": Look("#44AA99", "D", DASHED),
    "spike-norm": Look("#009E73", "^", DOTTED),
    "rmp": Look("#117733", "<", DASH_DOT),
    "half-shift": Look("#A77BD6", "P", DASHED),
    "mse-norm": Look("#6A51A3", "p", DASH_DOT),
    "calibration": Look("#3F007D", "h", DASH_DOT_DOT),
    "qcfs": Look("#AA4499", "*", LONG),
    "srp": Look("#762A83", "X", DASH_DOT),
    "offset": Look("#2B6777", ">", DASHED),
    "local-balance": Look("#66A61E", "d", DASH_DOT),
    "bptt": Look("#D55E00", "o", SOLID, hollow=True),
    "tune-width": Look("#8C2D04", "v", SOLID, hollow=True),
    "tet": Look("#C51B7D", "P", SOLID, hollow=True),
    "tdbn": Look("#E69F00", "s", SOLID, hollow=True),
    "spike-bp": Look("#A6611A", "^", SOLID, hollow=True),
    "membrane-bp": Look("#CC6677", "D", SOLID, hollow=True),
    "hybrid": Look("#B2182B", "<", SOLID, hollow=True),
    "diet": Look("#DDAA33", ">", SOLID, hollow=True),
    "rate-bp": Look("#7F3B08", "X", SOLID, hollow=True),
    "lee2016": Look("#E31A1C", "*", SOLID, hollow=True),
    "lee2020": Look("#F46D43", "p", SOLID, hollow=True),
    "ledinauskas2020": Look("#B8860B", "h", SOLID, hollow=True),
    "zheng2021": Look("#99000D", "d", SOLID, hollow=True),
}
"""Cool colours, broken lines and full markers: converted. Warm, solid and hollow: direct, with the
papers' presets."""


def look(method: str, arm: str, variant: int = 0) -> Look:
    """The look of a method; a name of the user's gets one from its letters, always the same.

    variant: place among several settings of the method in one network; each has its own marker,
    and a conversion its own broken line, in a darker shade of the method's colour.
    """
    known = METHODS.get(method)
    if known is None:
        code = zlib.crc32(method.encode())
        direct = arm == "direct"
        known = Look(
            (WARM if direct else COOL)[code % len(COOL)],
            MARKERS[code // 8 % len(MARKERS)],
            SOLID if direct else BROKEN[code // 128 % len(BROKEN)],
            direct,
        )
    if not variant or known.marker == "None":
        return known
    marker = MARKERS[(MARKERS.find(known.marker) + variant) % len(MARKERS)]
    dash = known.dash
    if dash != SOLID:
        dash = BROKEN[(BROKEN.index(dash) + variant) % len(BROKEN)]
    return Look(shade(known.colour, variant), marker, dash, known.hollow)


def shade(colour: str, step: int) -> str:
    """The colour mixed with black, darker with every step but never black."""
    keep = max(0.3, 1 - 0.22 * step)
    parts = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(part * keep):02X}" for part in parts)


RC: Mapping[str, Any] = {
    "font.family": ["sans-serif"],
    "text.parse_math": False,
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "lines.markeredgewidth": 0.9,
    "legend.frameon": False,
    "legend.handlelength": 3.2,
    "hatch.linewidth": 0.5,
    "figure.dpi": 100,
    "svg.fonttype": "none",
    "svg.hashsalt": "isospike",
    "pdf.fonttype": 42,
}
"""Small enough for a paper column; text in SVG stays text."""


DPI = 200
PACKING = (
    1  # of PNG, 0 to 9: the default of 6 takes as long as the drawing, for files a fifth smaller
)
"""Of PNG files: a paper column is 700 pixels wide."""


@dataclass(frozen=True)
class Size:
    """Width and height of one panel in inches, and how much larger its text is than RC's."""

    width: float
    height: float
    scale: float = 1.0


SIZES: Mapping[str, Size] = {
    "column": Size(3.5, 2.5),
    "slide": Size(8.0, 4.5, 2.0),
}


def settings(scale: float = 1.0) -> Any:
    """RC for matplotlib's rc_context, with texts, lines and markers larger by `scale`."""
    grown = {
        name: value * scale
        for name, value in RC.items()
        if name.endswith(("size", "linewidth", "markersize"))
    }
    return {**RC, **grown, "font.sans-serif": list(families())}


_IDENTIFIER = re.compile(r'(?<=\bid=")|(?<=url\(#)|(?<=href="#)')


def save(canvas: Canvas, directory: Path, name: str) -> tuple[Path, ...]:
    """Write a figure as NAME.svg, NAME.png and NAME.pdf; the same figure gives the same bytes.

    Ids in the SVG begin with NAME, so that several of them may stand in one page.
    """
    import matplotlib

    directory.mkdir(parents=True, exist_ok=True)
    dates: dict[str, dict[str, None]] = {
        "svg": {"Date": None},
        "pdf": {"CreationDate": None, "ModDate": None},
    }
    svg, pdf, png = (directory / f"{name}.{suffix}" for suffix in ("svg", "pdf", "png"))
    with matplotlib.rc_context(settings()):
        layout = canvas.get_layout_engine()
        if layout is not None:
            layout.execute(canvas)
            canvas.set_layout_engine(None)  # laid out once, not once more for every file
        for path in (svg, pdf):
            canvas.savefig(path, metadata=dates[path.suffix[1:]], dpi=DPI)
    _rasterise(pdf, png)
    text = svg.read_text(encoding="utf-8")
    svg.write_text(_IDENTIFIER.sub(f"{name}-", text), encoding="utf-8")
    return svg, png, pdf


def _rasterise(pdf: Path, png: Path) -> None:
    """The page of a PDF as PNG: a third of the time that drawing it once more would take."""
    import pypdfium2

    with pypdfium2.PdfDocument(pdf) as document:
        image = document[0].render(scale=DPI / 72).to_pil()
    image.save(png, dpi=(DPI, DPI), compress_level=PACKING)
