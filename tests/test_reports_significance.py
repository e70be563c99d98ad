"""Pairs of methods: which seeds are paired, which p-values count, and who is said to win."""

import math
from dataclasses import replace

import numpy as np
import pytest

import reports
from reports.analysis import Analysis
from reports.intervals import Interval, Test
from reports.significance import Comparison, adjusted, compare, comparisons, over_timesteps, winner
from tests.synthetic_study import write_study

GRID = (1, 2, 4, 8, 16)


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    home = tmp_path_factory.mktemp("study")
    methods = ("data-norm", "spike-norm", "bptt")
    return Analysis(reports.study(write_study(home, methods=methods, timesteps=GRID)))


def with_accuracy(curve, rows, seeds=(0, 1, 2)):
    """The curve with these accuracies [seeds, n], or [seeds] for the same at every T."""
    values = np.array(rows, dtype=float)
    if values.ndim == 1:
        values = np.tile(values[:, None], (1, len(curve.timesteps)))
    return replace(curve, seeds=seeds, measures=curve.measures | {"accuracy": values})


def found(first, second, difference, p):
    """A comparison by hand."""
    interval = Interval(difference, difference - 0.01, difference + 0.01, 3, "paired t over seeds")
    return Comparison(first, second, interval, Test(p, 3, "paired t over seeds"), p)


def test_pairs_are_of_the_same_seed_wherever_it_stands(analysis):
    _, data_norm, spike_norm, _ = analysis.curves
    first = with_accuracy(data_norm, [0.1, 0.2, 0.4])
    second = with_accuracy(spike_norm, [0.35, 0.10], seeds=(2, 1))
    test = compare(analysis.study, first, second)
    # seed 1: 0.2 − 0.10; seed 2: 0.4 − 0.35
    assert test.difference.estimate == pytest.approx(0.075)
    assert test.difference.n == 2


def test_the_most_accurate_is_so_where_it_is_reported(analysis):
    """Direct training at the T it was trained for, 8, whatever becomes of it at 16."""
    _, data_norm, _, bptt = analysis.curves
    bptt = with_accuracy(bptt, [[0.1, 0.1, 0.1, 0.9 + 0.01 * s, 0.1] for s in range(3)])
    other = with_accuracy(data_norm, [0.5, 0.5, 0.51])
    (test,) = comparisons(analysis.study, [other, bptt])
    assert (test.first, test.second) == (bptt, other)


def test_a_pair_without_a_test_does_not_count_among_the_tests(analysis):
    ann, data_norm, spike_norm, bptt = analysis.curves
    items = [found(data_norm, ann, 0.1, math.nan), found(bptt, ann, 0.1, 0.03),
             found(spike_norm, ann, 0.1, 0.02)]  # fmt: skip
    untested, *tested = adjusted(items)
    assert math.isnan(untested.adjusted)
    assert [item.adjusted for item in tested] == pytest.approx([0.04, 0.04])  # of two, not three


def test_significant_is_below_five_percent(analysis):
    one, two = analysis.curves[1:3]
    assert [found(one, two, 0.1, p).significant for p in (0.0499, 0.05, 0.055, math.nan)] == [
        True, False, False, False,
    ]  # fmt: skip


def test_a_winner_is_above_every_other_by_a_test(analysis):
    ann, one, two, best = analysis.curves
    spiking = [one, two, best]
    above = [found(best, one, 0.1, 0.01), found(best, two, 0.1, 0.01)]
    assert winner(above, spiking) is best
    assert winner(above[:1], spiking) is None  # against the other nothing is known
    assert winner([above[0], found(best, two, 0.1, 0.2)], spiking) is None
    assert winner([above[0], found(best, two, -0.1, 0.01)], spiking) is None
    assert winner([found(best, ann, 0.1, 0.01)], [ann, best]) is None  # there is no other


def test_only_steps_that_both_have_are_compared(analysis):
    _, data_norm, _, bptt = analysis.curves
    short = replace(
        bptt,
        timesteps=bptt.timesteps[1:4],
        measures={name: values[:, 1:4] for name, values in bptt.measures.items()},
    )
    assert list(over_timesteps(analysis.study, data_norm, short)) == [2, 4, 8]
    assert list(over_timesteps(analysis.study, short, data_norm, [1, 4, 16])) == [4]


def keep_images(home, pattern, images, right=None):
    """Cut the per-image results of cases to their first images, all of them right or wrong."""
    for file in home.glob(f"cases/{pattern}/correct.npz"):
        with np.load(file) as kept:
            arrays = {n: a if n == "timesteps" else a[..., :images] for n, a in kept.items()}
        if right is not None:
            arrays["correct"] = np.full_like(arrays["correct"], right)
        np.savez(file, **arrays)


def test_different_images_are_no_pairs(tmp_path):
    write_study(tmp_path, seeds=1, methods=("data-norm", "bptt"), timesteps=GRID)
    keep_images(tmp_path, "bptt*", 300)
    one = Analysis(reports.study(tmp_path))
    _, data_norm, bptt = one.curves
    assert compare(one.study, bptt, data_norm) is None


def test_ends_over_few_images_stay_within_a_hundred_points(tmp_path):
    write_study(tmp_path, seeds=1, methods=("data-norm", "bptt"), timesteps=GRID)
    keep_images(tmp_path, "bptt*", 4, right=True)
    keep_images(tmp_path, "data-norm*", 4, right=False)
    one = Analysis(reports.study(tmp_path))
    _, data_norm, bptt = one.curves
    up, down = compare(one.study, bptt, data_norm), compare(one.study, data_norm, bptt)
    assert (up.difference.estimate, up.difference.high) == (1.0, 1.0)  # 4/6 + 0.5 without the cut
    assert (down.difference.estimate, down.difference.low) == (-1.0, -1.0)
