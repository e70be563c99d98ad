"""What stands below a figure: how to read it, and what its intervals are of, where it has any."""

from __future__ import annotations

import pandas as pd

from reports.figures.base import Figure
from reports.intervals import ENOUGH

BANDS = {
    "many": "bands are 95 % over seeds",
    "few": "thin lines are the single seeds of what has two or three",
    "one": "one seed has no band",
}
WHISKERS = {
    "many": "whiskers are 95 % over seeds",
    "few": "whiskers are the least and the largest of two or three seeds",
    "one": "one seed has no whisker",
}
IMAGES = WHISKERS | {"one": "whiskers of one seed are 95 % over the test images"}
SPREADS = {"": {}, "band": BANDS, "whisker": WHISKERS, "accuracy whisker": IMAGES}


def caption(figure: Figure, rows: pd.DataFrame) -> str:
    """The description of a figure, and what is drawn of the seeds of these rows."""
    words = SPREADS[figure.spread]
    if not words or "n" not in rows:
        return figure.description
    spiking = rows[rows["arm"] != "ann"]
    counts = {int(n) for n in (spiking if len(spiking) else rows)["n"]}
    kinds = {"many": any(n >= ENOUGH for n in counts), "few": any(1 < n < ENOUGH for n in counts),
             "one": 1 in counts}  # fmt: skip
    said = "; ".join(words[kind] for kind, there in kinds.items() if there)
    return f"{figure.description} {said[0].upper()}{said[1:]}."
