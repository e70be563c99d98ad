"""Intervals and tests against numbers worked out by hand."""

import math

import numpy as np
import pytest

from reports.intervals import (
    RANGE,
    IntervalError,
    bootstrap_accuracies,
    cut,
    holm,
    mcnemar,
    mean_t,
    paired_difference,
    paired_images,
    paired_t,
    percentile_interval,
    spread,
    wilson,
)

Z = 1.959963984540054  # normal quantile at 0.975


def test_t_interval_of_three_values():
    # mean 2, sd 1, t(2) at 0.975 = 4.302653: half width 4.302653 / sqrt(3) = 2.484138
    interval = mean_t([1.0, 2.0, 3.0])
    assert interval.estimate == 2.0
    assert interval.deviation == 1.0
    assert interval.low == pytest.approx(2 - 2.484138, abs=1e-6)
    assert interval.high == pytest.approx(2 + 2.484138, abs=1e-6)
    assert interval.n == 3


def test_ends_are_cut_to_what_can_be():
    wide = mean_t([-0.5, 0.5])
    assert wide.low < -1 < 1 < wide.high
    inside = cut(wide, -1.0, 1.0)
    assert (inside.low, inside.estimate, inside.high) == (-1.0, 0.0, 1.0)
    assert (inside.n, inside.kind) == (wide.n, wide.kind)
    assert cut(mean_t([0.1, 0.1]), -1.0, 1.0) == mean_t([0.1, 0.1])


def test_t_interval_needs_two_finite_values():
    with pytest.raises(IntervalError, match="at least 2 values, got 1"):
        mean_t([0.5])
    with pytest.raises(IntervalError, match="finite"):
        mean_t([0.5, float("nan")])


def test_wilson_of_nine_in_ten():
    # centre (0.9 + 3.8415/20) / 1.38415 = 0.78899, half 1.95996*sqrt(0.009 + 0.0096036)/1.38415
    # = 0.19314
    interval = wilson(9, 10)
    assert interval.estimate == 0.9
    assert (interval.low, interval.high) == pytest.approx((0.59585, 0.98212), abs=1e-4)


def test_wilson_at_the_ends_stays_inside():
    # no success in n: low 0, high z^2 / (n + z^2)
    interval = wilson(0, 20)
    assert interval.low == 0.0
    assert interval.high == pytest.approx(Z**2 / (20 + Z**2))
    assert wilson(20, 20).high == 1.0


@pytest.mark.parametrize(("correct", "images"), [(1, 0), (5, 4), (-1, 4)])
def test_wilson_refuses_impossible_counts(correct, images):
    with pytest.raises(IntervalError):
        wilson(correct, images)


def test_paired_t_of_differences_one_two_three():
    # t = 2 * sqrt(3) / 1 = 3.4641; with 2 degrees of freedom p = 1 - t / sqrt(t^2 + 2)
    test = paired_t([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert test.statistic == pytest.approx(2 * math.sqrt(3))
    assert test.p == pytest.approx(1 - math.sqrt(12) / math.sqrt(14))
    difference = paired_difference([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert difference.estimate == 2.0
    assert difference.low == pytest.approx(2 - 2.484138, abs=1e-6)


def test_paired_t_of_equal_differences():
    untested = paired_t([2.0, 3.0], [1.0, 2.0])  # both by 1: no spread to hold it against
    assert math.isnan(untested.p)
    assert untested.kind == "none: no spread over seeds"
    assert paired_t([2.0, 3.0], [2.0, 3.0]).p == 1.0
    assert paired_t([0.0, 0.0], [0.0, 0.0]).p == 1.0


@pytest.mark.parametrize(
    ("first", "second"),
    [([0.16, 0.12], [0.24, 0.20]), ([0.9, 0.8, 0.7], [0.6, 0.5, 0.4]), ([0.3, 0.1], [0.2, 0.0])],
)
def test_rounding_is_no_spread(first, second):
    assert np.std(np.subtract(first, second)) > 0  # in floating point
    untested = paired_t(first, second)
    assert math.isnan(untested.p)
    assert untested.kind == "none: no spread over seeds"
    shifted = paired_t(first, [*first[:-1], first[-1] + 1e-17])
    assert shifted.p == 1.0


def test_paired_needs_pairs():
    with pytest.raises(IntervalError, match="got 2 and 3 values"):
        paired_difference([1.0, 2.0], [1.0, 2.0, 3.0])


def discordant(only_first, only_second, both=20, neither=3):
    first = [True] * only_first + [False] * only_second + [True] * both + [False] * neither
    second = [False] * only_first + [True] * only_second + [True] * both + [False] * neither
    return np.array(first), np.array(second)


def test_mcnemar_exact():
    # 1 against 6: two-sided binomial(7, 1/2) = 2 * (1 + 7) / 128 = 0.125
    test = mcnemar(*discordant(1, 6))
    assert test.p == pytest.approx(0.125)
    assert test.n == 30


def test_mcnemar_ignores_images_on_which_both_agree():
    assert mcnemar(*discordant(1, 6, both=1)).p == mcnemar(*discordant(1, 6, both=999)).p
    assert mcnemar(*discordant(0, 0)).p == 1.0
    with pytest.raises(IntervalError):
        mcnemar(np.array([True]), np.array([True, False]))


def test_paired_images_interval():
    # 6 against 1 of 100: centre 5/102, half z * sqrt(7 + 1 - 25/102) / 102
    interval = paired_images(*discordant(6, 1, both=90, neither=3))
    half = Z * math.sqrt(8 - 25 / 102) / 102
    assert interval.estimate == pytest.approx(0.05)
    assert interval.low == pytest.approx(5 / 102 - half)
    assert interval.high == pytest.approx(5 / 102 + half)


def test_holm_steps_down_and_never_falls():
    # sorted 0.01*3 = 0.03, 0.03*2 = 0.06, 0.04*1 = 0.04 raised to 0.06
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    with pytest.raises(IntervalError):
        holm([0.5, 1.5])


def test_of_two_or_three_values_the_spread_is_their_range():
    two = spread([4.0, 1.0])
    assert (two.estimate, two.low, two.high, two.n, two.kind) == (2.5, 1.0, 4.0, 2, RANGE)
    assert two.deviation == pytest.approx(math.sqrt(4.5))
    one = spread([3.0])
    assert (one.low, one.high, one.n, one.deviation) == (3.0, 3.0, 1, None)
    assert spread([1.0, 2.0, 4.0, 5.0]) == mean_t([1.0, 2.0, 4.0, 5.0])


def test_bootstrap_keeps_pairs_and_means():
    generator = np.random.default_rng(1)
    base = np.random.default_rng(0).random((1, 200)) < 0.8
    worse = base.copy()
    worse[0, np.flatnonzero(base[0])[:10]] = False  # ten images fewer: 0.05 on all of them
    found = bootstrap_accuracies([[base], [worse]], generator, resamples=400)
    first, second = (right / n for right, n in zip(found.right, found.answers, strict=True))
    assert first.shape == (400, 1)
    assert first.mean() == pytest.approx(base.mean(), abs=0.01)
    gap = (first - second)[:, 0]
    assert gap.min() >= 0  # the same images are drawn for both: never the other way round
    assert gap.mean() == pytest.approx(0.05, abs=0.005)


def test_bootstrap_is_decided_by_its_generator():
    rows = [[np.random.default_rng(3).random((2, 50)) < 0.5 for _ in range(3)]]
    one, two, three = (
        bootstrap_accuracies(rows, np.random.default_rng(seed), 20).right[0] for seed in (5, 5, 6)
    )
    assert (one == two).all()
    assert (one != three).any()


def test_bootstrap_counts_images_answered_alike_together():
    """Against every image on its own, over several blocks, with the same draws."""
    answers = np.random.default_rng(4)
    methods = [[answers.random((t, 40)) < 0.8 for _ in range(2)] for t in (1, 3)]
    methods = [[np.tile(rows, 3000) for rows in method] for method in methods]  # 120,000 images
    found = bootstrap_accuracies(methods, np.random.default_rng(5), 50)
    generator = np.random.default_rng(5)
    seeds = generator.multinomial(2, [0.5, 0.5], size=50)
    images = generator.integers(120_000, size=(50, 120_000))
    for method, right, n in zip(methods, found.right, found.answers, strict=True):
        shares = np.stack([rows[:, images].mean(axis=2) for rows in method])
        assert right / n == pytest.approx(np.einsum("rs,str->rt", seeds, shares) / 2)


def test_bootstrap_refuses_different_images():
    with pytest.raises(IntervalError, match=r"\[3, 4\]"):
        bootstrap_accuracies(
            [[np.ones((1, 3), bool)], [np.ones((1, 4), bool)]], np.random.default_rng(0), 5
        )


def test_percentile_interval_ends_are_draws():
    # 101 draws 0..100: places floor(0.025*100) = 2 and ceil(0.975*100) = 98
    interval = percentile_interval(np.arange(101.0), 50.0)
    assert (interval.low, interval.high) == (2.0, 98.0)
    draws = np.append(np.arange(90.0), np.full(11, np.inf))
    assert percentile_interval(draws, 45.0).high == np.inf
    with pytest.raises(IntervalError):
        percentile_interval(np.array([1.0, np.nan]), 1.0)
