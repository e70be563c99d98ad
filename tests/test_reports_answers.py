"""The sentences of a report, where the numbers give no reason for the usual ones."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import reports
from reports.analysis import Analysis
from reports.answers import _failure, answers
from reports.best import best_converted, best_direct
from reports.caveats import HELD_OUT, caveats
from reports.curves import approaches
from reports.iso import Estimate
from reports.metrics import NOT_REACHED
from reports.pairs import other_way, spike_words, unsettled
from reports.provenance import provenance
from reports.resampling import RESAMPLES
from tests.synthetic_study import write_study

GRID = (1, 2, 4, 8)


def changed(home, change, **settings):
    """The analysis of a study of one seed whose records went through `change`."""
    write_study(home, **{"seeds": 1, "timesteps": GRID} | settings)
    path = home / "records.csv"
    change(pd.read_csv(path)).to_csv(path, index=False)
    return Analysis(reports.study(home))


def set_accuracy(frame, method, values):
    """Records with these accuracies of a method, in the order of its rows."""
    rows = frame["method"] == method
    frame.loc[rows, "accuracy"] = values
    frame.loc[rows, "correct"] = (frame["accuracy"] * frame["images"]).round().astype(int)
    return frame


def set_facts(home, change, pattern="*"):
    for path in home.glob(f"cases/{pattern}/case.json"):
        facts = json.loads(path.read_text())
        change(facts)
        path.write_text(json.dumps(facts))


def curve_of(analysis, method, accuracies):
    curve = next(curve for curve in analysis.curves if curve.method == method)
    grid = np.array([0] if curve.arm == "ann" else [2**k for k in range(len(accuracies))])
    measures = curve.measures | {"accuracy": np.array([accuracies])}
    return replace(curve, timesteps=grid, measures=measures)


def test_methods_of_one_depth_each_give_no_answer_by_depth(tmp_path):
    def deeper(frame):
        return frame.assign(depth=frame["depth"].where(frame["method"] != "bptt", 12))

    found = answers(changed(tmp_path, deeper))
    assert [answer.network for answer in found] == ["lenet on mnist-5k"]


def test_a_quantised_reference_is_called_so(tmp_path):
    def quantised(frame):
        return frame.assign(method=frame["method"].replace("ann", "qcfs-ann"))

    analysis = changed(tmp_path, quantised, timesteps=(*GRID, 16, 32))
    (answer,) = answers(analysis)
    words = " ".join([answer.headline, *answer.details])
    assert "within 1 point of the quantised ANN (97." in words
    assert "(quantised ANN " in words
    assert "the ANN" not in words
    found = "\n".join(caveats(analysis))
    assert "No plain ANN was trained (lenet on mnist-5k)" in found
    assert "point of the ANN by" not in found


def test_nothing_is_held_against_an_ann_at_chance(tmp_path):
    analysis = changed(tmp_path, lambda frame: set_accuracy(frame, "ann", 0.06))
    (answer,) = answers(analysis)
    assert answer.headline.startswith("The ANN (6.00 %) is not above guessing one of 10 classes")
    assert "Not within 1 point" not in "\n".join(caveats(analysis))
    ann = analysis.curves[0]
    for share, classes in ((0.1, 10), (0.125, 10), (0.14, None)):  # 400 images: 13.3 % is above
        assert analysis.guessing(curve_of(analysis, ann.method, [share])) == classes
    set_facts(tmp_path, lambda facts: facts["dataset"].pop("classes"))
    unknown = Analysis(reports.study(tmp_path))
    assert unknown.guessing(unknown.curves[0]) is None


def test_one_point_below_in_floating_point_touches_one_point(tmp_path):
    assert (0.81 - 0.80) / 0.01 > 1
    analysis = changed(tmp_path, lambda frame: frame)
    ann = curve_of(analysis, "ann", [0.81])
    touching, below = ([0.5, best, 0.7] for best in (0.80, 0.7999))
    never = Estimate(NOT_REACHED, NOT_REACHED, NOT_REACHED, 1, 400)
    words = _failure(curve_of(analysis, "data-norm", touching), never, ann, "it")
    assert words.endswith("it touches 80.00 % but does not stay there.")
    words = _failure(curve_of(analysis, "data-norm", below), never, ann, "it")
    assert words.endswith("its best is 79.99 %, 1.01 points below.")
    words = _failure(curve_of(analysis, "data-norm", below), replace(never, low=4), ann, "it")
    assert words.endswith(
        "1.01 points below; its T* has the interval [4, ∞], so that is not certain."
    )


def test_only_of_curves_that_rise_a_longer_sweep_is_spoken_of(tmp_path):
    analysis = changed(tmp_path, lambda frame: set_accuracy(frame, "bptt", [0.7, 0.75, 0.5, 0.3]))
    (words,) = [line for line in caveats(analysis) if line.startswith("Not within 1 point")]
    assert "robust-norm, spike-norm, bptt." in words
    assert words.endswith(" A longer sweep, of data-norm, robust-norm, spike-norm, may get there.")
    falls = [curve_of(analysis, "bptt", rates) for rates in ([0.9, 0.8, 0.7], [0.8, 0.8], [0.9])]
    assert not any(approaches(curve, 0.95) for curve in falls)
    rising = replace(curve_of(analysis, "bptt", [0.9, 0.8, 0.82]), train_timesteps=2)
    assert approaches(rising, 0.875)  # by three more doublings of T at that pace
    assert not approaches(rising, 0.89)
    assert approaches(replace(rising, arm="converted"), 0.89)  # slow at first
    assert not approaches(replace(rising, train_timesteps=4), 0.83)  # within its training alone
    (tmp_path / "flat").mkdir()
    flat = changed(
        tmp_path / "flat", lambda frame: set_accuracy(frame, "bptt", 0.5), methods=("bptt",)
    )
    assert "longer sweep" not in "\n".join(caveats(flat))


@pytest.mark.parametrize(
    ("ends", "straight", "inverse"),
    [
        ((1.5, 3.0), " and 2 times as many spikes [1.5, 3]",
         ", but conversion spends 2 times as many spikes [1.5, 3]"),
        ((0.8, NOT_REACHED), "; spikes of conversion over those of direct training: 2 [0.8, ∞], "
         "that interval holds 1", "; spikes of direct training over those of conversion: "
         "0.5 [0, 1.25], that interval holds 1"),
        ((None, None), "; spikes of conversion over those of direct training: 2, interval unknown",
         "; spikes of direct training over those of conversion: 0.5, interval unknown"),
    ],
)  # fmt: skip
def test_more_spikes_are_said_only_where_the_interval_excludes_1(ends, straight, inverse):
    ratio = Estimate(2.0, *ends, 3, 400)
    assert spike_words(ratio) == straight
    assert spike_words(ratio, inverse=True) == inverse


def test_what_was_held_out_is_read_from_the_cases(tmp_path):
    def words(*changes):
        write_study(home := tmp_path / str(len(list(tmp_path.iterdir()))), seeds=1, timesteps=GRID)
        for value, pattern in changes:
            set_facts(home, lambda f, v=value: f["dataset"].update(validation_images=v), pattern)
        (found,) = (c for c in caveats(Analysis(reports.study(home))) if c.startswith("T* and"))
        return found.removeprefix("T* and best T are read from the test sweep itself")

    assert words() == HELD_OUT
    assert "how settings were chosen is not recorded" in HELD_OUT
    nothing = "; no image was held out to choose models and settings on."
    assert words((0, "*")) == nothing
    assert words((0, "ann*"), (0, "bptt*")) == nothing  # conversions train nothing
    part = "; no image was held out from the training of bptt to choose models and settings on."
    assert words((0, "bptt*")) == part
    assert words((None, "bptt*")) == "."


def test_ends_of_intervals_lie_where_they_are_said_to():
    """Of the resamples, 2.5 % lie beyond each end, with a standard error below 0.2 %."""
    assert math.sqrt(0.025 * 0.975 / RESAMPLES) < 0.002


def test_what_is_kept_of_resamples_is_small(tmp_path):
    analysis = changed(tmp_path, lambda frame: frame, seeds=2)
    (samples,) = analysis.samples.values()
    for curve in analysis.curves:
        assert samples.right[curve.label].dtype == np.uint16  # 800 answers
        accuracies = samples.accuracies(curve)
        assert accuracies.shape == (RESAMPLES, len(curve.timesteps))
        assert accuracies.mean(axis=0) == pytest.approx(curve.accuracy, abs=0.002)


def test_of_equally_accurate_methods_the_fastest_is_the_best(tmp_path):
    def equal(frame):
        """robust-norm and spike-norm end alike; spike-norm is there earlier."""
        frame = set_accuracy(frame, "ann", 0.97)
        frame = set_accuracy(frame, "data-norm", 0.95)
        frame = set_accuracy(frame, "robust-norm", [0.5, 0.6, 0.7, 0.97])
        return set_accuracy(frame, "spike-norm", [0.5, 0.6, 0.97, 0.97])

    (items,) = changed(tmp_path, equal).networks.values()
    assert best_converted(items).label == "spike-norm"
    assert best_converted(items[::-1]).label == "spike-norm"
    assert best_direct(items).label == "bptt"
    assert best_direct([curve for curve in items if curve.arm != "direct"]) is None
    assert best_converted(curve for curve in items if curve.arm != "ann").label in (
        "robust-norm", "spike-norm")  # fmt: skip


def test_an_order_that_turns_round_at_the_best_accuracy_is_said(tmp_path):
    """T*(1 point) of 0.97: conversion 8, direct 2. Its best, 0.98, is at 16; conversion's 8."""

    def turned(frame):
        frame = set_accuracy(frame, "ann", 0.97)
        frame = set_accuracy(frame, "data-norm", [0.5, 0.6, 0.7, 0.99, 0.99])
        return set_accuracy(frame, "bptt", [0.5, 0.97, 0.97, 0.97, 0.98])

    settings = {"methods": ("data-norm", "bptt"), "timesteps": (*GRID, 16)}
    analysis = changed(tmp_path, turned, **settings)
    (items,), (paces,) = analysis.networks.values(), analysis.paces.values()
    converted, direct = paces
    words = "To the direct network's best accuracy the order is the other way: "
    assert other_way(items, converted, direct).startswith(
        f"{words}8 steps by conversion, 16 directly"
    )
    same = replace(converted, iso_speedup=Estimate(2.0, 1.5, 3.0, 1, 400))
    assert other_way(items, same, direct) == ""
    never = Estimate(NOT_REACHED, NOT_REACHED, NOT_REACHED, 1, 400)
    lost = replace(converted, within=direct.within, iso=never, iso_speedup=never)
    assert other_way(items, lost, replace(direct, within=converted.within)) == (
        f"{words}not reached by conversion, 16 steps directly."
    )
    unclear = replace(converted, iso_speedup=Estimate(0.5, 0.3, 1.2, 1, 400))
    assert other_way(items, unclear, direct).endswith(
        "(ratio 0.5 [0.3, 1.2]: that interval holds 1, so no order is shown)."
    )


def test_a_smallest_estimate_that_others_overlap_is_called_one(tmp_path):
    analysis = changed(tmp_path, lambda frame: frame)
    paces = next(iter(analysis.paces.values()))

    def within(pace, *numbers):
        return replace(pace, within=(Estimate(*numbers, 1, 400),) * 3, trained=())

    first, second, third, direct = paces
    settled = within(first, 9.0, 7.0, 12.0)
    far = within(second, 20.0, 13.0, NOT_REACHED)
    other_arm = within(direct, 9.0, 8.0, 10.0)
    never = within(third, NOT_REACHED, NOT_REACHED, NOT_REACHED)
    assert unsettled(settled, (settled, far, never, other_arm)) == ""
    near = within(second, 12.0, 12.0, NOT_REACHED)
    assert unsettled(settled, (settled, near, never)) == (
        "Of the conversions, the smallest estimate is that of data-norm, T = 9 [7, 12]; the "
        "interval of robust-norm overlaps it."
    )
    open_end = within(first, 9.0, 7.0, NOT_REACHED)
    assert unsettled(open_end, (never, near, within(third, 11.0, 8.0, 20.0))).endswith(
        "T = 9 [7, ∞]; the intervals of robust-norm and spike-norm overlap it."
    )
    assert unsettled(open_end, (never, within(third, 11.0, None, None))) == ""


def test_precision_of_training_and_of_sweeps_are_two_facts(tmp_path):
    def facts(**arithmetic):
        home = tmp_path / str(len(list(tmp_path.iterdir())))
        home.mkdir()
        write_study(home, seeds=1, timesteps=GRID)
        for pattern, words in arithmetic.items():
            name = f"{pattern.replace('_', '-')}*"
            set_facts(home, lambda f, w=words: f["machine"].update(sweep_arithmetic=w), name)
        analysis = Analysis(reports.study(home))
        found = {fact.name: fact.text for fact in provenance(analysis)}
        (caveat,) = [words for words in caveats(analysis) if "last digits" in words]
        return found["Training precision"], found.get("Sweeps"), caveat

    trained, swept, caveat = facts()
    assert (trained, swept) == ("float32", None)
    assert caveat.startswith("Trained in float32: where sums are rounded")
    whole = "int16: fixed point"
    trained, swept, caveat = facts(
        ann="float32", data_norm=whole, robust_norm=whole, spike_norm="float32, since it leaks",
        bptt="float32, too",
    )  # fmt: skip
    assert swept == "int16; spike-norm and bptt float32"
    assert caveat.startswith(
        "Trained in float32, swept in float32 (spike-norm, bptt; the others in whole numbers): "
    )
    methods = ("data_norm", "robust_norm", "spike_norm", "bptt")
    trained, swept, caveat = facts(ann="float32", **dict.fromkeys(methods, whole))
    assert swept == "int16"
    assert "sweeps are in whole numbers" in caveat
