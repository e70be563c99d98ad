"""Pairs of methods tested on the same seeds or the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reports.curves import Curve, reference
from reports.frame import Study
from reports.intervals import (
    Interval,
    Test,
    cut,
    holm,
    mcnemar,
    paired_difference,
    paired_images,
    paired_t,
)

ALPHA = 0.05


@dataclass(frozen=True)
class Comparison:
    """first − second, each at the T it is reported at. `adjusted` is Holm's p in its network.

    difference: of accuracies, its ends within −1 to 1.
    """

    first: Curve
    second: Curve
    difference: Interval
    test: Test
    adjusted: float

    @property
    def significant(self) -> bool:
        """Whether the difference would be rare by chance: adjusted p below ALPHA."""
        return self.adjusted < ALPHA


def compare(
    study: Study,
    first: Curve,
    second: Curve,
    first_timestep: int | None = None,
    second_timestep: int | None = None,
) -> Comparison | None:
    """Paired over shared seeds, or over images for one shared seed; None where neither is kept."""
    at_first = first.report_timestep if first_timestep is None else first_timestep
    at_second = second.report_timestep if second_timestep is None else second_timestep
    shared = [seed for seed in first.seeds if seed in second.seeds]
    if len(shared) > 1:
        one, two = (
            [float(c.measures["accuracy"][c.seeds.index(s), c.index(t)]) for s in shared]
            for c, t in ((first, at_first), (second, at_second))
        )
        test = paired_t(one, two)
        difference = cut(paired_difference(one, two), -1.0, 1.0)
        return Comparison(first, second, difference, test, test.p)
    if not shared:
        return None
    rows = [
        _images(study, curve, shared[0], timestep)
        for curve, timestep in ((first, at_first), (second, at_second))
    ]
    if rows[0] is None or rows[1] is None or rows[0].shape != rows[1].shape:
        return None
    test = mcnemar(rows[0], rows[1])
    difference = cut(paired_images(rows[0], rows[1]), -1.0, 1.0)
    return Comparison(first, second, difference, test, test.p)


def comparisons(study: Study, network: Sequence[Curve]) -> tuple[Comparison, ...]:
    """Every spiking method against the ANN, and the most accurate one against every other."""
    spiking = [curve for curve in network if curve.arm != "ann"]
    if not spiking:
        return ()
    best = max(spiking, key=lambda c: c.accuracy[c.index(c.report_timestep)])
    ann = reference(network)
    pairs = [(curve, ann) for curve in spiking if ann is not None]
    pairs += [(best, curve) for curve in spiking if curve is not best]
    found = [item for one, two in pairs if (item := compare(study, one, two)) is not None]
    return adjusted(found)


def over_timesteps(
    study: Study, first: Curve, second: Curve, grid: Sequence[int] | None = None
) -> dict[int, Comparison]:
    """Two spiking methods at every shared T (of `grid`), adjusted over these by Holm's method."""
    shared = [int(t) for t in first.timesteps if t in second.timesteps]
    shared = [t for t in shared if grid is None or t in grid]
    found = {t: item for t in shared if (item := compare(study, first, second, t, t)) is not None}
    return dict(zip(found, adjusted(list(found.values())), strict=True))


def adjusted(items: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The comparisons with p-values adjusted for their number."""
    if not items:
        return ()
    tested = [item.test.p for item in items if not np.isnan(item.test.p)]
    found = iter(holm(tested) if tested else ())
    return tuple(
        item if np.isnan(item.test.p) else replace(item, adjusted=float(next(found)))
        for item in items
    )


def winner(items: Sequence[Comparison], network: Sequence[Curve]) -> Curve | None:
    """The spiking method that is significantly above every other; None where no test says so."""
    spiking = [curve for curve in network if curve.arm != "ann"]
    for best in spiking:
        against = [c for c in items if c.first is best and c.second.arm != "ann"]
        better = all(c.significant and c.difference.estimate > 0 for c in against)
        if against and len(against) == len(spiking) - 1 and better:
            return best
    return None


def _images(study: Study, curve: Curve, seed: int, timestep: int) -> np.ndarray | None:
    case = study.cases.get(curve.cases[curve.seeds.index(seed)])
    kept = case.correctness if case is not None else None
    if kept is None:
        return None
    place = np.flatnonzero(kept.timesteps == timestep)
    return np.asarray(kept.correct[place[0]], dtype=bool) if place.size else None
