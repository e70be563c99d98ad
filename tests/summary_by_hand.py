"""The summary of the micro study by another path: per-image answers and layers.csv, plain Python.

Nothing here is from reports: means, t-intervals, steps, and the bootstrap draw by draw.
Two seeds, T = 1 … 5, one directly trained network (T = 2).
"""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

# 97.5 % point of Student's t with one degree of freedom
T_OF_TWO_SEEDS = 12.706204736432095
RATIO = "Steps of conversion / steps of direct, at the direct network's best accuracy"
TRAINED = "T(1 point) up to training T"
METHODS = {"ANN": "ann", "ANN (qcfs)": "qcfs-ann", "robust-norm": "robust-norm", "srp": "srp",
           "bptt": "bptt"}  # fmt: skip

RESAMPLES = 10_000


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def cases_of(micro: Path, method: str) -> list[Path]:
    """The cases of a method, by seed."""
    found = {}
    for path in (micro / "cases").iterdir():
        specification = json.loads((path / "case.json").read_text())["spec"]
        if specification["method"] == method:
            found[specification["seed"]] = path
    return [found[seed] for seed in sorted(found)]


def shares(case: Path) -> dict[int, float]:
    """Share of images answered right, by T, counted image by image."""
    with np.load(case / "correct.npz") as kept:
        steps, labels = kept["timesteps"].tolist(), kept["labels"].tolist()
        answers = [row.tolist() for row in kept["predicted"]]
    return {
        t: sum(a == b for a, b in zip(row, labels, strict=True)) / len(labels)
        for t, row in zip(steps, answers, strict=True)
    }


def layer_sum(case: Path, timestep: int, column: str, *kinds: str) -> float:
    rows = _table(case / "layers.csv")
    return sum(
        float(row[column])
        for row in rows
        if int(row["timestep"]) == timestep and row[column] and (not kinds or row["kind"] in kinds)
    )


def spread(pair: list[float]) -> tuple[float, float, float]:
    """Mean and ends of the t-interval of two values: sd/√2 = |a − b|/2."""
    mean, half = sum(pair) / 2, T_OF_TWO_SEEDS * abs(pair[0] - pair[1]) / 2
    return mean, mean - half, mean + half


def sustained(curve: dict[int, float], target: float) -> int | None:
    """The T after the last one that lies below the target."""
    below = [t for t, share in curve.items() if share < target - 1e-12]
    later = [t for t in curve if not below or t > max(below)]
    return min(later) if later else None


def mean_curve(micro: Path, method: str) -> dict[int, float]:
    one, two = (shares(case) for case in cases_of(micro, method))
    return {t: (one[t] + two[t]) / 2 for t in one}


def same(row: dict[str, str], column: str, expected: float | None) -> None:
    text = row[column]
    if expected is None:
        assert text == "not reached", column
    else:
        assert float(text) == pytest.approx(expected, rel=1e-8, abs=1e-8), column


def same_spread(
    row: dict[str, str],
    name: str,
    unit: str,
    pair: list[float],
    ends: tuple[float, float] = (0.0, math.inf),
) -> None:
    """Mean and ends of a column of the summary, the ends within what its values can be."""
    mean, low, high = spread(pair)
    same(row, f"{name}{unit}", mean)
    same(row, f"{name}, low", max(ends[0], low))
    same(row, f"{name}, high", min(ends[1], high))
    assert row[f"{name}, n"] == "2 seeds"


def same_range(row: dict[str, str], name: str, unit: str, pair: list[float]) -> None:
    """Mean of a column of the summary, and its two values as the ends."""
    same(row, f"{name}{unit}", sum(pair) / 2)
    same(row, f"{name}, low", min(pair))
    same(row, f"{name}, high", max(pair))
    assert row[f"{name}, n"] == "2 seeds"


def check(micro: Path, label: str) -> None:
    """Assert every number of one row of report/tables/summary.csv."""
    rows = {row["Method"]: row for row in _table(micro / "report" / "tables" / "summary.csv")}
    assert set(rows) == set(METHODS)
    row, method = rows[label], METHODS[label]
    cases = cases_of(micro, method)
    at = {"ann": 0, "qcfs-ann": 0, "bptt": 2}.get(method, 5)  # trained for T = 2; swept to 5
    accuracies = [100 * shares(case)[at] for case in cases]
    macs = [layer_sum(case, at, "mac_per_image") for case in cases]
    acs = [layer_sum(case, at, "ac_per_image") for case in cases]
    energies = [0.9 * a + 4.6 * m for a, m in zip(acs, macs, strict=True)]
    same_spread(row, "Accuracy", " (%)", accuracies, (0.0, 100.0))
    same_range(row, "MACs per image", "", macs)
    same_range(row, "Energy per image", " (pJ, model)", energies)
    if at == 0:
        spiking = ("T", "Best", "ACs", "SNN", "Spikes", "Steps")
        assert not any(row[name] for name in row if name.startswith(spiking))
        return
    spikes = [layer_sum(case, at, "spikes_per_image", "hidden") for case in cases]
    anns = [100 * shares(case)[0] for case in cases_of(micro, "ann")]
    gaps = [a - b for a, b in zip(accuracies, anns, strict=True)]
    same_range(row, "ACs per image", "", acs)
    same_range(row, "Spikes per image", "", spikes)
    same_spread(row, "SNN − ANN", " (points)", gaps, (-math.inf, math.inf))
    check_steps(micro, row, method, at)


def above_chance(share: float, case: Path) -> bool:
    """Whether Wilson's interval of a share lies above giving every image the commonest label."""
    with np.load(case / "correct.npz") as kept:
        labels = kept["labels"].tolist()
    n, z = len(labels), 1.959963984540054
    p = round(share * n) / n
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (p + z**2 / (2 * n) - half) / (1 + z**2 / n) > max(map(labels.count, labels)) / n


def check_steps(micro: Path, row: dict[str, str], method: str, at: int) -> None:
    """The columns in steps, observation steps included, and the speedup."""
    curve, observed = mean_curve(micro, method), 4 if method == "srp" else 0
    best = min(t for t in curve if curve[t] == max(curve.values()))
    target = mean_curve(micro, "ann")[0] - 0.01
    reached = sustained(curve, target)
    same(row, "T (steps)", at + observed)
    if above_chance(curve[best], cases_of(micro, method)[0]):
        same(row, "Best T (steps)", best + observed)
    else:
        assert row["Best T (steps)"] == ""
    same(row, "T*(1 point) (steps)", None if reached is None else reached + observed)
    if method == "bptt":
        assert row[RATIO] == ""
        same(row, f"{TRAINED} (steps)", sustained({t: curve[t] for t in (1, 2)}, target))
    else:
        assert row[f"{TRAINED} (steps)"] == ""
        direct = mean_curve(micro, "bptt")
        first = min(t for t in direct if direct[t] == max(direct.values()))
        steps = sustained(curve, max(direct.values()))
        same(row, RATIO, None if steps is None else (steps + observed) / first)
    check_ends(micro, row, method)


def check_ends(micro: Path, row: dict[str, str], method: str) -> None:
    """The bootstrap's ends, resample by resample."""
    observed = 4 if method == "srp" else 0
    own, ann = resampled(micro, method), resampled(micro, "ann")
    direct = resampled(micro, "bptt")
    firsts = [first_best(curve) for curve in direct]
    goals = [curve[0] - 0.01 for curve in ann]
    steps = [plus(sustained(c, g), observed) for c, g in zip(own, goals, strict=True)]
    if row["Best T (steps)"]:
        same_ends(row, "Best T", [first_best(curve) + observed for curve in own])
    same_ends(row, "T*(1 point)", steps)
    if method == "bptt":
        short = [sustained({t: c[t] for t in (1, 2)}, g) for c, g in zip(own, goals, strict=True)]
        same_ends(row, TRAINED, [plus(found, 0) for found in short])
        return
    peaks = [max(curve.values()) for curve in direct]
    reached = [plus(sustained(c, p), observed) for c, p in zip(own, peaks, strict=True)]
    same_ends(row, RATIO, [r / f for r, f in zip(reached, firsts, strict=True)])


def resampled(micro: Path, method: str) -> list[dict[int, float]]:
    """Mean accuracy by T of every resample: 2 seeds, then 60 images, drawn with replacement."""
    generator = np.random.default_rng(2020)
    seeds = generator.multinomial(2, [1 / 2] * 2, size=RESAMPLES)
    images = generator.integers(60, size=(RESAMPLES, 60))
    total: dict[int, np.ndarray] = {}
    for place, case in enumerate(cases_of(micro, method)):
        with np.load(case / "correct.npz") as kept:
            hits = kept["predicted"] == kept["labels"]
            for t, row in zip(kept["timesteps"].tolist(), hits, strict=True):
                total[t] = total.get(t, 0) + seeds[:, place] * row[images].sum(axis=1)
    shares = zip(*((sums / 120).tolist() for sums in total.values()), strict=True)
    return [dict(zip(total, values, strict=True)) for values in shares]


def first_best(curve: dict[int, float]) -> int:
    return min(t for t in curve if curve[t] == max(curve.values()))


def plus(steps: int | None, observed: int) -> float:
    return math.inf if steps is None else steps + observed


def same_ends(row: dict[str, str], name: str, draws: list[float]) -> None:
    """Ends at 2.5 % and 97.5 % of the sorted draws, outwards."""
    ordered = sorted(draws)
    for end, place in (
        ("low", math.floor(0.025 * (RESAMPLES - 1))),
        ("high", math.ceil(0.975 * (RESAMPLES - 1))),
    ):
        found = float(row[f"{name}, {end}"].replace("not reached", "inf"))
        assert found == pytest.approx(ordered[place]), (name, end)
