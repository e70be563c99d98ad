"""What stands below a figure: how to read it, and what its intervals are of, where it has any."""

from __future__ import annotations

import pandas as pd

from reports.figures.base import Figure
from reports.intervals import ENOUGH
from reports.words import LARGEST_T

BANDS = {
    "many": "bands are 95 % over seeds",
    "few": "bands of two or three seeds go from the least to the largest",
    "one": "one seed has no band",
}
WHISKERS = {
    "many": "whiskers are 95 % over seeds",
    "few": "whiskers are the least and the largest of two or three seeds",
    "one": "one seed has no whisker",
}
IMAGES = WHISKERS | {"one": "whiskers of one seed are 95 % over the test images"}
SPREADS = {"": {}, "band": BANDS, "whisker": WHISKERS, "accuracy whisker": IMAGES}


REPORTED = {"direct": "Direct training at the T it was trained for.", "converted": LARGEST_T}
"""At which T the networks of an arm are shown, where it is one T alone."""


def caption(figure: Figure, rows: pd.DataFrame) -> str:
    """The description of a figure, and what these rows make of it: at which T their networks are
    read, and what is drawn of their seeds."""
    said = [figure.description]
    if figure.reported:
        said += [words for arm, words in REPORTED.items() if (rows["arm"] == arm).any()]
    if SPREADS[figure.spread] and "n" in rows:
        said.append(_of_seeds(figure, rows))
    return " ".join(said)


def _of_seeds(figure: Figure, rows: pd.DataFrame) -> str:
    words = SPREADS[figure.spread]
    spiking = rows[rows["arm"] != "ann"]
    counts = {int(n) for n in (spiking if len(spiking) else rows)["n"]}
    kinds = {"many": any(n >= ENOUGH for n in counts), "few": any(1 < n < ENOUGH for n in counts),
             "one": 1 in counts}  # fmt: skip
    said = "; ".join(words[kind] for kind, there in kinds.items() if there)
    return f"{said[0].upper()}{said[1:]}."
