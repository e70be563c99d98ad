"""Records grouped into curves: one method on one network, all seeds, against T."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from reports.frame import ARMS, Study
from reports.intervals import Interval, mean_t, spread, wilson
from reports.labels import label_of, study_marks, variants
from reports.metrics import NOT_REACHED, ROUNDING, sustained_timesteps, trained_timesteps
from reports.settings import family, settings

MEASURES = (
    "accuracy",
    "spikes_per_image",
    "input_spikes_per_image",
    "ac_per_image",
    "mac_per_image",
    "neuron_updates_per_image",
    "energy_pj_per_image",
)


DOUBLINGS = 3
"""Of T, over which the pace of the last one is thought to go on at most."""


class CurveError(ValueError):
    """A question to a curve that its records cannot answer."""


@dataclass(frozen=True)
class Curve:
    """One method on one network.

    timesteps: [n], readout T; measures: name -> [seeds, n], missing values are NaN.
    An ANN has the one timestep 0. base: the registered method that `method` is a setting of;
    setting: what tells its network from others of this architecture and data set;
    variant: its place among the curves of that base on this network, the base itself first.
    """

    dataset: str
    architecture: str
    setting: str
    depth: int | None
    arm: str
    method: str
    base: str
    label: str
    variant: int
    train_timesteps: int | None
    calibration_timesteps: int
    images: int
    seeds: tuple[int, ...]
    cases: tuple[str, ...]
    timesteps: np.ndarray
    measures: dict[str, np.ndarray]

    @property
    def network(self) -> str:
        """Architecture and data set, as one name, with what tells it from others of that name."""
        return self.named(self.architecture)

    def named(self, what: str) -> str:
        """An architecture or a family, with the data set and the setting of this curve."""
        name = f"{what} on {self.dataset}"
        return f"{name} ({self.setting})" if self.setting else name

    @property
    def accuracy(self) -> np.ndarray:
        """Mean accuracy over seeds: [n]."""
        return self.mean("accuracy")

    @property
    def latency(self) -> np.ndarray:
        """Steps until each readout, calibration or observation steps included: [n]."""
        return self.timesteps + self.calibration_timesteps

    @property
    def report_timestep(self) -> int:
        """T at which the method is summarised: the T it was trained for, else the largest T."""
        if self.arm == "direct" and self.train_timesteps in self.timesteps.tolist():
            return int(self.train_timesteps or 0)
        return int(self.timesteps[-1])

    @property
    def report_latency(self) -> int:
        """Steps until the readout of the summary, those of observation included."""
        return self.report_timestep + self.calibration_timesteps

    def mean(self, measure: str) -> np.ndarray:
        """Mean of a measure over seeds: [n]; NaN where a seed has no value."""
        return np.asarray(self.measures[measure].mean(axis=0))

    def index(self, timestep: int) -> int:
        """Place of a timestep; raises CurveError where the sweep has none."""
        places = np.flatnonzero(self.timesteps == timestep)
        if not places.size:
            known = f"{self.timesteps[0]} to {self.timesteps[-1]}"
            raise CurveError(f"{self.label}: T must be in the sweep ({known}); got {timestep}")
        return int(places[0])

    def accuracy_interval(self, timestep: int) -> Interval:
        """Accuracy at T: t-interval over seeds, or Wilson's over images for one seed."""
        values = self.measures["accuracy"][:, self.index(timestep)]
        if len(values) > 1:
            return mean_t(values.tolist())
        return wilson(round(float(values[0]) * self.images), self.images)

    def interval(self, measure: str, timestep: int) -> Interval | None:
        """Mean of any measure at T over seeds, as `spread` gives it; None where one is missing."""
        values = self.measures[measure][:, self.index(timestep)]
        if np.isnan(values).any():
            return None
        return spread(values.tolist())


def curves(study: Study) -> tuple[Curve, ...]:
    """All curves of a study: networks in the order of the records, ANN first in each."""
    records = study.records.copy()
    options, networks = variants(study), settings(study)
    records["variant"] = [options.get(case, "") for case in records["case"]]
    records["setting"] = [networks.get(case, "") for case in records["case"]]
    keys = [
        "dataset",
        "architecture",
        "setting",
        "arm",
        "method",
        "encoding",
        "train_timesteps",
        "variant",
        "base",
    ]
    bases = {name: case.specification.get("base") for name, case in study.cases.items()}
    records["base"] = [
        bases.get(case) or method
        for case, method in zip(records["case"], records["method"], strict=True)
    ]
    records["variant"] += study_marks(records, [*keys, "seed", "timestep"])
    order = {name: place for place, name in enumerate(records["architecture"].unique())}
    groups = [
        (dict(zip(keys, values, strict=True)), rows)
        for values, rows in records.groupby(keys, dropna=False, sort=False)
    ]
    groups.sort(
        key=lambda group: (
            group[0]["dataset"],
            order[group[0]["architecture"]],
            group[0]["setting"],
            ARMS.index(group[0]["arm"]),
        )
    )
    result: list[Curve] = []
    for facts, rows in groups:
        siblings = [
            other
            for other, _ in groups
            if all(other[k] == facts[k] for k in ("dataset", "architecture", "setting", "base"))
        ]
        siblings.sort(key=lambda other: other["method"] != other["base"])  # its own look first
        result.append(_curve(facts, rows, siblings))
    return tuple(result)


def reference(items: Iterable[Curve]) -> Curve | None:
    """The ANN that the spiking networks of one network are held against: the plain one."""
    anns = [curve for curve in items if curve.arm == "ann"]
    plain = [curve for curve in anns if curve.method == "ann"]
    return (plain or anns or [None])[0]  # type: ignore[list-item]


def the_ann(ann: Curve) -> str:
    """What a reference is called in a sentence: a quantised ANN is not taken for the plain one."""
    return "the quantised ANN" if ann.base == "qcfs-ann" else "the ANN"


def up_to_training(curve: Curve) -> Curve | None:
    """A direct network's curve up to the T it was trained for; None where the sweep lacks it."""
    trained = curve.timesteps == curve.train_timesteps
    if curve.arm != "direct" or not trained.any():
        return None
    last = int(np.flatnonzero(trained)[0]) + 1
    measures = {name: values[:, :last] for name, values in curve.measures.items()}
    return replace(curve, timesteps=curve.timesteps[:last], measures=measures)


def in_use(curve: Curve, target: float) -> Curve:
    """The part of a curve that answers how many steps a user of the network needs.

    All of it where T* is reached; else, for a direct network that stays at the target up to its
    training T and leaves it beyond, the part up to the training T (the measure
    trained-timesteps, which is not T*).
    """
    part = up_to_training(curve)
    steps = sustained_timesteps(curve.timesteps, curve.accuracy, target)
    if part is None or steps is not NOT_REACHED:
        return curve
    last = int(part.timesteps[-1])
    steps = trained_timesteps(curve.timesteps, curve.accuracy, target, last)
    return curve if steps is NOT_REACHED else part


def fastest(items: Iterable[Curve], arm: str, target: float) -> Curve | None:
    """The network of an arm that needs the fewest steps for `target`, as `in_use` reads it.

    Where none gets there, the most accurate; None where the arm has no network.
    """
    own = [curve for curve in items if curve.arm == arm]
    if not own:
        return None

    def rank(curve: Curve) -> tuple[float, float]:
        part = in_use(curve, target)
        steps = sustained_timesteps(part.timesteps, part.accuracy, target)
        reached = steps + curve.calibration_timesteps if isinstance(steps, int) else np.inf
        return (reached, -float(curve.accuracy.max()))

    return min(own, key=rank)


def approaches(curve: Curve, target: float) -> bool:
    """Whether a longer sweep may reach a target accuracy: it still grows over the last doubling of
    T. False where the sweep has no T of half the last or less.

    A conversion comes closer to its ANN with T, slowly at first. A direct network has no reason to
    beyond the T of its training: there it must be on its way, so that DOUBLINGS more at that pace
    would get there.
    """
    half = np.flatnonzero(2 * curve.timesteps <= curve.timesteps[-1])
    if not half.size:
        return False
    last, gain = curve.accuracy[-1], curve.accuracy[-1] - curve.accuracy[half[-1]]
    if curve.arm == "direct":
        beyond = curve.timesteps[half[-1]] >= (curve.train_timesteps or 0)
        return bool(beyond and gain > ROUNDING and last + DOUBLINGS * gain >= target)
    return bool(gain > ROUNDING)


def families(items: Iterable[Curve]) -> dict[str, list[Curve]]:
    """Curves of architectures that differ in depth alone: `vgg5` and `vgg9` are one family.

    Networks of other settings are other families. Families of a single depth are left out.
    """
    result: dict[str, list[Curve]] = {}
    for curve in items:
        if curve.depth is not None:
            result.setdefault(curve.named(family_of(curve)), []).append(curve)
    return {name: own for name, own in result.items() if len({c.depth for c in own}) > 1}


def family_of(curve: Curve) -> str:
    """The architecture's name without its depth: `vgg` of `vgg9`."""
    return family(curve.architecture)


def _curve(
    facts: dict[str, object], rows: pd.DataFrame, siblings: list[dict[str, object]]
) -> Curve:
    tables = {m: rows.pivot(index="case", columns="timestep", values=m) for m in MEASURES}
    shared = tables["accuracy"].dropna(axis=1)
    if shared.empty:
        raise CurveError(f"the seeds of {facts['method']} share no timestep")
    cases = tuple(shared.index)
    seeds = rows.drop_duplicates("case").set_index("case")["seed"]
    first = rows.iloc[0]
    train = facts["train_timesteps"]
    return Curve(
        dataset=str(facts["dataset"]),
        architecture=str(facts["architecture"]),
        setting=str(facts["setting"]),
        depth=None if pd.isna(first["depth"]) else int(first["depth"]),
        arm=str(facts["arm"]),
        method=str(facts["method"]),
        base=str(facts["base"]),
        label=label_of(facts, [other for other in siblings if other["method"] == facts["method"]]),
        variant=siblings.index(facts),
        train_timesteps=None if pd.isna(train) else int(train),  # type: ignore[call-overload]
        calibration_timesteps=int(rows["calibration_timesteps"].fillna(0).max()),
        images=int(first["images"]),
        seeds=tuple(int(seeds[case]) for case in cases),
        cases=cases,
        timesteps=shared.columns.to_numpy(),
        measures={
            m: table.reindex(columns=shared.columns).loc[list(cases)].to_numpy(dtype=np.float64)
            for m, table in tables.items()
        },
    )
