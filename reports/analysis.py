"""A study with everything computed from it, each part once, when first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reports.curves import Curve, curves
from reports.frame import Study
from reports.intervals import wilson
from reports.iso import Pace, paces
from reports.resampling import SEED, Samples, resample
from reports.significance import Comparison, comparisons


@dataclass(frozen=True, eq=False)
class Analysis:
    """The study and its findings, by network (`architecture on dataset`)."""

    study: Study

    @cached_property
    def curves(self) -> tuple[Curve, ...]:
        """Every method on every network, ANN first in each network."""
        return curves(self.study)

    @cached_property
    def networks(self) -> dict[str, list[Curve]]:
        """The curves by network."""
        result: dict[str, list[Curve]] = {}
        for curve in self.curves:
            result.setdefault(curve.network, []).append(curve)
        return result

    @cached_property
    def paces(self) -> dict[str, tuple[Pace, ...]]:
        """Steps at equal accuracy of every spiking method, by network."""
        return {name: paces(items, self.samples[name]) for name, items in self.networks.items()}

    @cached_property
    def samples(self) -> dict[str, Samples]:
        """Bootstrap accuracies, by network; the same study gives the same draws."""
        return {
            name: resample(self.study, items, np.random.default_rng(SEED))
            for name, items in self.networks.items()
        }

    @cached_property
    def comparisons(self) -> dict[str, tuple[Comparison, ...]]:
        """Paired tests, by network."""
        return {name: comparisons(self.study, items) for name, items in self.networks.items()}

    def guessing(self, curve: Curve) -> int | None:
        """The number of classes, where the curve is not above guessing one of them at its T.

        None where it is: where Wilson's interval over the test images lies above 1 / classes, or
        where no case says how many classes there are.
        """
        cases = [self.study.cases[name] for name in curve.cases if name in self.study.cases]
        found = {(case.facts.get("dataset") or {}).get("classes") for case in cases}
        classes = found.pop() if len(found) == 1 else None
        if not classes:
            return None
        above = _lies_above(curve, curve.report_timestep, 1 / classes)
        return None if above else int(classes)

    def at_chance(self, curve: Curve, timestep: int) -> bool:
        """Whether accuracy at T is not above giving every image the most frequent label.

        By Wilson's interval over the test images; False where a case kept no labels.
        """
        cases = [self.study.cases[name] for name in curve.cases if name in self.study.cases]
        kept = [case.correctness for case in cases]
        if not kept or kept[0] is None:
            return False
        most = float(np.unique(kept[0].labels, return_counts=True)[1].max())
        return not _lies_above(curve, timestep, most / len(kept[0].labels))


def _lies_above(curve: Curve, timestep: int, share: float) -> bool:
    """Whether Wilson's interval of accuracy at T, over the test images, lies above a share."""
    accuracy = float(curve.accuracy[curve.index(timestep)])
    return wilson(round(accuracy * curve.images), curve.images).low > share


def analyse(study: Study | Analysis) -> Analysis:
    """The analysis of a study; one that is already made is handed back."""
    return study if isinstance(study, Analysis) else Analysis(study)
