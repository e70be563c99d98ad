"""Intervals and tests against scipy.stats, and the report's own use of them by another path."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import reports
from reports import iso
from reports.analysis import Analysis
from reports.intervals import (
    bootstrap_accuracies,
    holm,
    mcnemar,
    mean_t,
    paired_difference,
    paired_t,
    percentile_interval,
    wilson,
)
from reports.iso import paces
from reports.metrics import NOT_REACHED
from reports.resampling import resample
from reports.tables import all_tables, over_grid
from tests.synthetic_study import write_study

SHARES = st.floats(0.0, 1.0).map(lambda value: round(value, 4))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5000), st.floats(0, 1))
def test_wilson_is_that_of_scipy(images, share):
    correct = round(share * images)
    found = wilson(correct, images)
    expected = stats.binomtest(correct, images).proportion_ci(0.95, method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(SHARES, min_size=2, max_size=8))
def test_t_interval_is_that_of_scipy(values):
    found = mean_t(values)
    spread = stats.sem(values)
    expected = (
        stats.t.interval(0.95, len(values) - 1, np.mean(values), spread)
        if spread > 0
        else (values[0], values[0])
    )
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)
    assert found.deviation == pytest.approx(np.std(values, ddof=1), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(SHARES, SHARES), min_size=2, max_size=8))
def test_paired_t_is_that_of_scipy(pairs):
    first, second = (list(side) for side in zip(*pairs, strict=True))
    gaps = np.subtract(first, second)
    if np.std(gaps) < 1e-9:
        return  # scipy divides by 0 there; worked out by hand in test_reports_intervals
    expected = stats.ttest_rel(first, second)
    found, interval = paired_t(first, second), paired_difference(first, second)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue)
    ends = expected.confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((ends.low, ends.high))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_a_binomial_test_of_scipy(only_first, only_second):
    first = np.array([True] * only_first + [False] * only_second + [True] * 9)
    second = np.array([False] * only_first + [True] * only_second + [True] * 9)
    total = only_first + only_second
    expected = stats.binomtest(only_first, total, 0.5).pvalue if total else 1.0
    assert mcnemar(first, second).p == pytest.approx(expected)


def plain_holm(p_values):
    """For every hypothesis the largest of (number not yet rejected) · p over the smaller p."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_by_a_loop(p_values):
    assert holm(p_values).tolist() == pytest.approx(plain_holm(p_values))


def test_bootstrap_of_one_seed_is_about_that_of_scipy():
    rows = np.random.default_rng(0).random(500) < 0.8
    drawn = bootstrap_accuracies([[rows[None]]], np.random.default_rng(1), 4000)
    found = percentile_interval(drawn.right[0][:, 0] / drawn.answers[0], rows.mean())
    expected = stats.bootstrap(
        (rows.astype(float),), np.mean, n_resamples=4000, method="percentile", rng=2
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.006)


@pytest.fixture(scope="module", params=[1, 4], ids=["one seed", "four seeds"])
def analysis(request, tmp_path_factory):
    home = tmp_path_factory.mktemp("study")
    return Analysis(
        reports.study(write_study(home, seeds=request.param, methods=("spike-norm", "bptt")))
    )


def plain_p(analysis, first, second, at):
    """p of a paired comparison by scipy: seeds by their t-test, images by the binomial one."""
    values = [
        [float(c.measures["accuracy"][s, c.index(t)]) for s in range(len(c.seeds))]
        for c, t in zip((first, second), at, strict=True)
    ]
    if len(values[0]) > 1:
        return float(stats.ttest_rel(*values).pvalue)
    rows = []
    for curve, timestep in zip((first, second), at, strict=True):
        kept = analysis.study.cases[curve.cases[0]].correctness
        rows.append(kept.correct[kept.timesteps.tolist().index(timestep)])
    one, two = int((rows[0] & ~rows[1]).sum()), int((~rows[0] & rows[1]).sum())
    return float(stats.binomtest(one, one + two, 0.5).pvalue) if one + two else 1.0


def test_bold_only_where_scipy_says_so(analysis):
    (items,) = analysis.networks.values()
    ann, spike_norm, bptt = items
    pairs = [(spike_norm, ann), (bptt, ann), (bptt, spike_norm)]
    p_values = [plain_p(analysis, a, b, (a.report_timestep, b.report_timestep)) for a, b in pairs]
    wins = plain_holm(p_values)[2] < 0.05
    bold = [
        (table.name, row[1].text)
        for table in all_tables(analysis)
        for row in table.rows
        for cell in row
        if cell.strong
    ]
    assert bold == ([("summary", "bptt")] if wins else [])


def test_differences_over_the_grid_by_scipy(analysis):
    (items,) = analysis.networks.values()
    _, spike_norm, bptt = items
    table = over_grid(analysis)
    grid = [1, 2, 4, 8, 16, 32]
    assert [row[3].value for row in table.rows] == grid
    p_values = [plain_p(analysis, bptt, spike_norm, (t, t)) for t in grid]
    assert [row[5].value for row in table.rows] == pytest.approx(p_values)
    adjusted = plain_holm(p_values)
    assert [row[6].value for row in table.rows] == pytest.approx(adjusted)
    assert [row[7].text for row in table.rows] == ["yes" if p < 0.05 else "no" for p in adjusted]


def test_spike_efficiency_with_its_interval_draw_by_draw(analysis):
    (items,) = analysis.networks.values()
    ann, converted, direct = items
    (paces,) = analysis.paces.values()
    pace = next(p for p in paces if p.curve is converted)
    generator, seeds = np.random.default_rng(2020), len(ann.seeds)
    images = generator.multinomial(400, [1 / 400] * 400, size=1000)
    chosen = generator.multinomial(seeds, [1 / seeds] * seeds, size=1000)

    def best(curve, draw):
        """T and mean spikes at the first highest accuracy of a resample."""
        total = np.zeros(len(curve.timesteps))
        for place, case in enumerate(curve.cases):
            right = analysis.study.cases[case].correctness.correct
            total = total + chosen[draw, place] * (right * images[draw]).sum(axis=1)
        place = int(np.flatnonzero(total == total.max())[0])
        spikes = curve.measures["spikes_per_image"][:, place]
        return int(curve.timesteps[place]), float(chosen[draw] @ spikes) / seeds

    steps, spikes = [], []
    for draw in range(1000):
        slow, fast = best(converted, draw), best(direct, draw)
        steps.append(slow[0] / fast[0])
        spikes.append(slow[1] / fast[1])
    for found, draws in ((pace.max_speedup, steps), (pace.max_spike_efficiency, spikes)):
        ordered = sorted(draws)
        assert found.low == pytest.approx(ordered[math.floor(0.025 * 999)])
        assert found.high == pytest.approx(ordered[math.ceil(0.975 * 999)])
        assert found.low <= found.value <= found.high or found.value is NOT_REACHED


def test_resamples_without_spikes_have_no_ratio(tmp_path):
    study = reports.study(write_study(tmp_path, seeds=2, methods=("spike-norm", "bptt")))
    network = next(iter(Analysis(study).networks.values()))

    def efficiencies(silent):
        """The measure where these seeds of the conversion and of the direct network never fire."""
        curves = [network[0]]
        for curve, seeds in zip(network[1:], silent, strict=True):
            spikes = curve.measures["spikes_per_image"].copy()
            spikes[list(seeds)] = 0.0
            measures = curve.measures | {"spikes_per_image": spikes}
            curves.append(replace(curve, measures=measures))
        samples = resample(study, curves, np.random.default_rng(3), 200)
        found = next(p for p in paces(curves, samples) if p.curve.arm == "converted")
        return found.max_spike_efficiency

    both = efficiencies(((0,), (0,)))  # a resample of seed 0 alone: 0 spikes over 0 spikes
    assert 0 < both.low <= both.high < np.inf
    one = efficiencies(((), (0,)))  # some spikes over 0 spikes
    assert 0 < one.low <= one.high < np.inf
    assert efficiencies(((0, 1), (0,))).value == 0
    assert efficiencies(((), (0, 1))) is None


def test_no_resample_with_spikes_leaves_the_interval_open():
    nothing = np.zeros(4)
    assert iso._known_ratios(nothing, nothing) is None
    assert iso._known_ratios(np.full(4, np.inf), np.full(4, np.inf)) is None
    ends = np.array([np.inf, 2.0, np.inf, 0.0]), np.array([2.0, np.inf, np.inf, 0.0])
    assert iso._known_ratios(*ends).tolist() == [np.inf, 0.0]
