"""Intervals and tests: how far a number may be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import special

LEVEL = 0.95
ENOUGH = 4
"""Seeds from which the t-interval of counts, times and curves is shown: over two or three it is
mostly wider than what the values can be."""
RANGE = "least to largest seed"

ROUNDING = 1e-12  # of the values: differences that floating point makes


class IntervalError(ValueError):
    """Data from which the interval or test cannot be computed."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval. `kind` says how it was made, `n` from how many values."""

    estimate: float
    low: float
    high: float
    n: int
    kind: str
    deviation: float | None = None


def cut(interval: Interval, lowest: float, highest: float) -> Interval:
    """The interval with its ends inside what the quantity can be."""
    low, high = (min(max(end, lowest), highest) for end in (interval.low, interval.high))
    return replace(interval, low=low, high=high)


@dataclass(frozen=True)
class Test:
    """A two-sided test. `statistic` is None for an exact test."""

    __test__ = False

    p: float
    n: int
    kind: str
    statistic: float | None = None


def mean_t(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Mean with Student's t-interval: m ± t(n−1)·sd/√n, sd with n − 1 (Student 1908).

    values: one per seed. Raises for fewer than two.
    """
    data = _finite(values)
    if data.size < 2:
        raise IntervalError(f"a t-interval needs at least 2 values, got {data.size}")
    mean, half = float(data.mean()), float(t_half(data, level))
    deviation = float(data.std(ddof=1))
    return Interval(mean, mean - half, mean + half, int(data.size), "t over seeds", deviation)


def spread(values: Sequence[float]) -> Interval:
    """Mean with its t-interval; of fewer than ENOUGH values the least and the largest of them."""
    data = _finite(values)
    if data.size >= ENOUGH:
        return mean_t(values)
    deviation = float(data.std(ddof=1)) if data.size > 1 else None
    ends = float(data.min()), float(data.max())
    return Interval(float(data.mean()), *ends, int(data.size), RANGE, deviation)


def t_half(values: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Half of Student's t-interval of every column of [seeds, ...], two seeds or more."""
    seeds = len(values)
    quantile = float(special.stdtrit(seeds - 1, 0.5 + level / 2))
    half: np.ndarray = quantile * values.std(axis=0, ddof=1) / np.sqrt(seeds)
    return half


def wilson(correct: int, images: int, level: float = LEVEL) -> Interval:
    """Share of successes with Wilson's score interval (Wilson 1927, eq. 4), in fractions of 1."""
    if images <= 0 or not 0 <= correct <= images:
        raise IntervalError(f"need 0 <= correct <= images and images > 0: {correct} of {images}")
    z2 = float(special.ndtri(0.5 + level / 2)) ** 2
    share = correct / images
    centre = (share + z2 / (2 * images)) / (1 + z2 / images)
    spread = share * (1 - share) / images + z2 / (4 * images**2)
    half = np.sqrt(z2 * spread) / (1 + z2 / images)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Interval(share, float(low), float(high), images, "Wilson over images")


def paired_difference(
    first: Sequence[float], second: Sequence[float], level: float = LEVEL
) -> Interval:
    """Mean of first − second with the t-interval of the differences; pairs share their seed."""
    if len(first) != len(second):
        raise IntervalError(f"pairs needed: got {len(first)} and {len(second)} values")
    interval = mean_t(_finite(first) - _finite(second), level)
    return Interval(
        interval.estimate,
        interval.low,
        interval.high,
        interval.n,
        "paired t over seeds",
        interval.deviation,
    )


def paired_t(first: Sequence[float], second: Sequence[float]) -> Test:
    """Two-sided t-test of a zero mean difference: t = d̄·√n/sd(d), n − 1 degrees of freedom.

    p is NaN where all differences are the same and not 0: without a spread there is no test.
    """
    difference = paired_difference(first, second)
    deviation = difference.deviation or 0.0
    rounding = ROUNDING * max(*map(abs, first), *map(abs, second))
    if deviation <= rounding:
        if abs(difference.estimate) <= rounding:
            return Test(1.0, difference.n, "paired t over seeds")
        return Test(float("nan"), difference.n, "none: no spread over seeds")
    statistic = difference.estimate * np.sqrt(difference.n) / deviation
    p = 2 * float(special.stdtr(difference.n - 1, -abs(statistic)))
    return Test(p, difference.n, "paired t over seeds", float(statistic))


def mcnemar(first: np.ndarray, second: np.ndarray) -> Test:
    """McNemar's test on the same images (McNemar 1947), exact: two-sided binomial(b + c, ½).

    b = images only `first` has right, c = only `second`. first, second: [images] bool.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise IntervalError(f"need two equal rows of images, got {first.shape}, {second.shape}")
    only_first = int((first & ~second).sum())
    only_second = int((~first & second).sum())
    tail = float(special.bdtr(min(only_first, only_second), only_first + only_second, 0.5))
    return Test(min(1.0, 2 * tail), int(first.size), "McNemar exact")


def paired_images(first: np.ndarray, second: np.ndarray, level: float = LEVEL) -> Interval:
    """Difference of two shares on the same images, with the interval of Agresti & Min 2005.

    With half an image added to each of the four cells: d = (b − c)/(n + 2) and
    d ± z·√(b + c + 1 − (b − c)²/(n + 2))/(n + 2); the estimate itself is (b − c)/n.
    first, second: [images] bool.
    """
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise IntervalError(f"need two equal rows of images, got {first.shape}, {second.shape}")
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    images, difference = int(first.size), only_first - only_second
    spread = only_first + only_second + 1 - difference**2 / (images + 2)
    half = float(special.ndtri(0.5 + level / 2)) * np.sqrt(spread) / (images + 2)
    centre = difference / (images + 2)
    kind = "paired over images"
    return Interval(difference / images, float(centre - half), float(centre + half), images, kind)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values adjusted for their number: max over i ≤ k of (m − i + 1)·p(i) (Holm 1979)."""
    p = _finite(p_values)
    if ((p < 0) | (p > 1)).any():
        raise IntervalError("p-values must lie in 0 to 1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


class Bootstrap(NamedTuple):
    """Per method: answers that are right in all drawn images and seeds [resamples, timesteps], of
    how many, and how often each seed was drawn [resamples, seeds]."""

    right: list[np.ndarray]
    answers: list[int]
    seeds: list[np.ndarray]


def bootstrap_accuracies(
    correct: Sequence[Sequence[np.ndarray]],
    generator: np.random.Generator,
    resamples: int,
) -> Bootstrap:
    """Seed-mean accuracies of several methods under one resampling of seeds and images.

    Images are drawn with replacement, the same draw for every method and seed; seeds are drawn
    with replacement, the same draw for methods with equally many seeds, so that differences
    between methods stay paired (Efron & Tibshirani 1993, §8.3). One seed is kept as it is.

    correct: per method, per seed, [timesteps, images] bool.
    """
    sizes = {rows.shape[1] for method in correct for rows in method}
    if len(sizes) != 1:
        raise IntervalError(f"all methods need the same test images, got {sorted(sizes)}")
    images = sizes.pop()
    counts = list(dict.fromkeys(len(method) for method in correct))
    seeds = {n: generator.multinomial(n, np.full(n, 1 / n), size=resamples) for n in counts}
    answers = [len(method) * images for method in correct]
    right = [
        np.empty((resamples, method[0].shape[0]), dtype=np.min_scalar_type(most))
        for method, most in zip(correct, answers, strict=True)
    ]
    start, (firsts, kinds) = 0, _alike(correct)
    answered = [[rows[:, firsts] for rows in method] for method in correct]
    for size in _blocks(resamples, images):
        block = slice(start, start + size)
        drawn = kinds[generator.integers(images, size=(size, images))]
        drawn += len(firsts) * np.arange(size)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * len(firsts)).reshape(size, -1)
        weights = weights.astype(np.float32)  # whole numbers below 2^24: the products are exact
        for kept, method in zip(right, answered, strict=True):
            often = seeds[len(method)][block].T
            sums = (weights @ rows.T.astype(np.float32) for rows in method)
            kept[block] = sum(n[:, None] * rows for n, rows in zip(often, sums, strict=True))
        start += size
    return Bootstrap(right, answers, [seeds[len(method)] for method in correct])


def _alike(correct: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Images that every method, seed and T answers alike are of one kind, and counted together:
    the first image of each kind, and the kind of each image [images]."""
    answers = np.concatenate([rows for method in correct for rows in method])
    packed = np.ascontiguousarray(np.packbits(answers, axis=0).T)
    keys = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, firsts, kinds = np.unique(keys, return_index=True, return_inverse=True)
    return firsts, kinds.reshape(-1)


def _blocks(resamples: int, images: int, most: int = 5_000_000) -> list[int]:
    """Resamples in blocks whose weights stay below `most` numbers."""
    size = max(1, min(resamples, most // images))
    whole, rest = divmod(resamples, size)
    return [size] * whole + ([rest] if rest else [])


def percentile_interval(draws: np.ndarray, estimate: float, level: float = LEVEL) -> Interval:
    """Percentile bootstrap interval (Efron 1979). Ends are draws themselves, never between two.

    draws: [resamples], the statistic of each; infinity stands for `not reached`.
    """
    values = np.sort(np.asarray(draws, dtype=np.float64))
    if not values.size or np.isnan(values).any():
        raise IntervalError("the statistic is undefined in some resamples")
    tail = (1 - level) / 2
    low = values[int(np.floor(tail * (values.size - 1)))]
    high = values[int(np.ceil((1 - tail) * (values.size - 1)))]
    return Interval(estimate, float(low), float(high), int(values.size), "bootstrap")


def _finite(values: Sequence[float] | np.ndarray) -> np.ndarray:
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or not np.isfinite(data).all():
        raise IntervalError("need a row of finite numbers")
    return data
