"""The bootstrap of a network: seeds and test images drawn again, for all its methods at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from reports.curves import Curve
from reports.frame import Study
from reports.intervals import bootstrap_accuracies

RESAMPLES = 10_000
"""So many that the ends of intervals in whole steps hardly move with the seed."""

SEED = 2020
"""The bootstrap of a report starts here, so that the same records give the same page."""


@dataclass(frozen=True, eq=False)
class Samples:
    """What every resample gives, by label of the curve.

    right: answers that are right at each T, in all drawn images and seeds [resamples, timesteps],
    of `answers`; seeds: how often each was drawn [resamples, seeds]. Empty, and false, where a
    case kept no per-image results.
    """

    right: dict[str, np.ndarray] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    seeds: dict[str, np.ndarray] = field(default_factory=dict)

    def accuracies(self, curve: Curve) -> np.ndarray:
        """Of the drawn images, mean over the drawn seeds: [resamples, timesteps]."""
        return np.asarray(self.right[curve.label] / self.answers[curve.label])

    def spikes(self, curve: Curve) -> np.ndarray:
        """Of hidden neurons and input until T, mean over the drawn seeds: [resamples, timesteps].

        Counts of single images are not kept; NaN where not counted.
        """
        return np.asarray(self.seeds[curve.label] @ spikes_of_seeds(curve) / len(curve.seeds))

    def __bool__(self) -> bool:
        return bool(self.right)


def resample(
    study: Study,
    network: Sequence[Curve],
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Samples:
    """Bootstrap of seeds and images together; empty where a case kept no per-image results."""
    kept: list[list[np.ndarray]] = []
    for curve in network:
        rows = [_correct(study, case, curve) for case in curve.cases]
        if any(row is None for row in rows):
            return Samples()
        kept.append([row for row in rows if row is not None])
    if len({row.shape[1] for rows in kept for row in rows}) != 1:
        return Samples()
    drawn = bootstrap_accuracies(kept, generator, resamples)
    labels = [curve.label for curve in network]
    return Samples(
        dict(zip(labels, drawn.right, strict=True)),
        dict(zip(labels, drawn.answers, strict=True)),
        dict(zip(labels, drawn.seeds, strict=True)),
    )


def spikes_of_seeds(curve: Curve) -> np.ndarray:
    """Hidden and input spikes per image until T: [seeds, n]; analogue input has no spikes."""
    inputs = curve.measures["input_spikes_per_image"]
    return np.asarray(curve.measures["spikes_per_image"] + np.nan_to_num(inputs))


def _correct(study: Study, name: str, curve: Curve) -> np.ndarray | None:
    case = study.cases.get(name)
    kept = case.correctness if case is not None else None
    if kept is None:
        return None
    places = {int(t): i for i, t in enumerate(kept.timesteps)}
    if any(int(t) not in places for t in curve.timesteps):
        return None
    return np.asarray(kept.correct[[places[int(t)] for t in curve.timesteps]], dtype=bool)
