"""Sentences of an answer with their numbers: calibration, input spikes, training steps, depth."""

from dataclasses import replace

import numpy as np
import pytest

from reports import pairs
from reports.answers import _depth_answer, _failure, answers
from reports.caveats import caveats
from reports.iso import Estimate
from reports.metrics import NOT_REACHED
from tests.test_reports_answers import GRID, changed, curve_of


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """robust-norm with 3 steps of calibration; 10 input spikes at every step."""

    def late(frame):
        frame.loc[frame["method"] == "robust-norm", "calibration_timesteps"] = 3
        return frame.assign(input_spikes_per_image=10.0 * frame["timestep"])

    methods, grid = ("robust-norm", "bptt"), (*GRID, 16, 32, 64)
    home = tmp_path_factory.mktemp("calibrated")
    return changed(home, late, methods=methods, timesteps=grid)


def test_steps_of_calibration_are_named_and_spikes_are_those_behind_them(calibrated):
    (answer,) = answers(calibrated)
    assert "conversion by robust-norm needs T = 35 [" in answer.headline
    assert "direct training by bptt needs T = 8 [" in answer.headline
    ratio = (
        "Steps of conversion over steps of direct training: 4.38 [0, 4.38]; the interval holds 1"
    )
    assert answer.details[0].startswith(ratio)  # 35 / 8; some resamples of bptt never get there
    # 70 + 10 spikes, 70 · 60 additions a step, 32 steps: 134,400 · 0.9 pJ + 20,000 · 4.6 pJ
    assert answer.details[1] == (
        "robust-norm spends 2.56 k spikes per image, those of the input included, and 213 nJ per "
        "image by the energy model (ANN 552 nJ) there."
    )
    # 110 + 10 spikes, 110 · 60 additions a step, 8 steps: 52,800 · 0.9 pJ + 92,000 pJ
    assert answer.details[2].startswith("bptt spends 960 spikes per image, those of the input ")
    assert " and 140 nJ per image by" in answer.details[2]


def test_a_failure_names_the_last_step_with_calibration(calibrated):
    ann = curve_of(calibrated, "ann", [0.9])
    curve = replace(curve_of(calibrated, "robust-norm", [0.1, 0.2]), calibration_timesteps=3)
    never = Estimate(NOT_REACHED, NOT_REACHED, NOT_REACHED, 1, 400)
    assert _failure(curve, never, ann, "conversion by robust-norm") == (
        "Conversion by robust-norm does not get there by T = 5: its best is 20.00 %, 70.00 points "
        "below."
    )


@pytest.mark.parametrize(
    ("steps", "spikes", "words"),
    [
        ((2.0, 1.5, 4.0), (3.0, 2.0, 4.0),
         "T = 35 against 8: conversion takes 2 times as many steps as direct training [1.5, 4] "
         "and 3 times as many spikes [2, 4]."),
        ((0.5, 0.25, 0.8), (0.5, 0.4, 0.8),
         "T = 8 against 35: direct training takes 2 times as many steps as conversion [1.25, 4] "
         "and 2 times as many spikes [1.25, 2.5]."),
        ((0.5, 0.25, 0.8), (2.0, 1.25, 4.0),
         "T = 8 against 35: direct training takes 2 times as many steps as conversion [1.25, 4], "
         "but conversion spends 2 times as many spikes [1.25, 4]."),
        ((2.0, 1.0, NOT_REACHED), (3.0, 2.0, 4.0),
         "Steps of conversion over steps of direct training: 2 [1, ∞]; the interval holds 1, so "
         "neither is shown to need fewer."),
        ((0.5, 0.25, 1.0), (3.0, 2.0, 4.0),
         "Steps of conversion over steps of direct training: 0.5 [0.25, 1]; the interval holds 1, "
         "so neither is shown to need fewer."),
        ((2.0, None, None), (3.0, 2.0, 4.0),
         "Steps of conversion over steps of direct training: 2, interval unknown."),
        ((NOT_REACHED, 2.0, NOT_REACHED), (3.0, 2.0, 4.0), ""),
    ],
)  # fmt: skip
def test_who_takes_more_steps_is_said_only_where_the_interval_excludes_1(
    calibrated, monkeypatch, steps, spikes, words
):
    found = {"steps_ratio": Estimate(*steps, 3, 400), "spikes_ratio": Estimate(*spikes, 3, 400)}
    for name, estimate in found.items():
        monkeypatch.setattr(pairs, name, lambda *given, e=estimate: e)
    ((network, (converted, direct)),) = calibrated.paces.items()
    ann = calibrated.curves[0]
    assert pairs.ratio_words(calibrated, network, converted, direct, ann) == words


def test_no_spikes_at_all_are_no_ratio():
    nothing = Estimate(0.0, 0.0, 0.0, 3, 400)
    assert pairs.spike_words(nothing) == pairs.spike_words(nothing, inverse=True) == ""


ACCURACIES = {
    ("ann", "vgg5"): [0.9],
    ("ann", "vgg9"): [0.95],
    ("data-norm", "vgg5"): [0.1, 0.5, 0.895, 0.899],
    ("data-norm", "vgg9"): [0.1, 0.2, 0.3, 0.945],
    ("robust-norm", "vgg5"): [0.1, 0.9, 0.9, 0.9],  # ahead at depth 5, not at 9
    ("robust-norm", "vgg9"): [0.1, 0.2, 0.3, 0.93],
    ("bptt", "vgg5"): [0.1, 0.9, 0.5, 0.4],  # lost beyond the T of its training, 2
    ("bptt", "vgg9"): [0.1, 0.945, 0.945, 0.945],
}


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """Two depths, the greater one first in the records."""

    def chosen(frame):
        for (method, architecture), values in ACCURACIES.items():
            rows = (frame["method"] == method) & (frame["architecture"] == architecture)
            frame.loc[rows, "accuracy"] = values
        return frame

    methods, networks = ("data-norm", "robust-norm", "bptt"), (("vgg9", 9), ("vgg5", 5))
    home = tmp_path_factory.mktemp("deep")
    return changed(home, chosen, methods=methods, networks=networks, train_timesteps=(2,))


def test_an_answer_by_depth_goes_from_the_least_to_the_greatest(deep):
    by_depth = answers(deep)[0]
    assert by_depth.network == "vgg on mnist-5k, by depth"
    assert by_depth.headline == (
        "Accuracy with 5 and with 9 layers: ANN 90.00 and 95.00 %; data-norm 89.90 and 94.50 % at "
        "T = 8; bptt 90.00 and 94.50 % at T = 2."
    )
    assert by_depth.details == (
        "T*(1 point) with 5, 9 layers: data-norm 4 [∞, ∞], 8 [∞, ∞]; bptt 2 [∞, ∞]†, 2 [∞, ∞]. "
        "(† read up to the training T; the network leaves the range beyond it, so T* is not "
        "reached)",
    )


def test_the_method_that_is_named_is_the_first_within_one_point(tmp_path):
    """Not the first to reach the accuracy of the ANN itself."""

    def chosen(frame):
        for method, values in (
            ("ann", [0.9]),
            ("data-norm", [0.1, 0.895, 0.895, 0.895]),
            ("robust-norm", [0.1, 0.1, 0.9, 0.9]),
        ):
            frame.loc[frame["method"] == method, "accuracy"] = values
        return frame

    (answer,) = answers(changed(tmp_path, chosen, methods=("data-norm", "robust-norm")))
    assert "conversion by data-norm needs T = 2 [" in answer.headline


def test_no_dagger_is_explained_where_there_is_none(deep):
    family = [c for c in deep.curves if c.method != "bptt"]
    answer = _depth_answer(deep, "vgg", family)
    assert answer.details == ("T*(1 point) with 5, 9 layers: data-norm 4 [∞, ∞], 8 [∞, ∞].",)


def test_steps_up_to_the_training_ones_are_said_to_be_so(deep):
    found = {answer.network: answer for answer in answers(deep)}
    lost, kept = found["vgg5 on mnist-5k"], found["vgg9 on mnist-5k"]
    end = " where it runs no longer than the T = 2 it was trained for."
    assert "direct training by bptt needs T = 2 [" in lost.headline
    assert lost.headline.endswith(end)
    assert lost.details[0] == (
        "Run longer than it was trained for, bptt stays there up to T = 2 and falls below at "
        "larger T: its T*(1 point) over the whole sweep, to T = 8, is not reached."
    )
    assert "direct training by bptt needs T = 2 [" in kept.headline
    assert end not in kept.headline
    assert not any("Run longer" in detail for detail in kept.details)


def test_what_leaves_the_range_beyond_its_training_is_not_said_to_miss_it(deep):
    found = caveats(deep)
    (left,) = [line for line in found if line.startswith("Within 1 point")]
    assert "below it at larger T (vgg5 on mnist-5k): bptt. T*(1 point)" in left
    (missed,) = [line for line in found if line.startswith("Not within 1 point")]
    assert missed.startswith("Not within 1 point of the ANN by T = 8 (vgg9 on mnist-5k): robust")


def test_the_last_step_of_a_sweep_is_said_with_its_calibration(calibrated):
    ann, converted, _ = calibrated.curves
    low = np.full_like(converted.measures["accuracy"], 0.5)
    curve = replace(converted, measures=converted.measures | {"accuracy": low})
    analysis = replace(calibrated)
    analysis.__dict__["curves"] = (ann, curve)
    found = "\n".join(caveats(analysis))
    assert "Not within 1 point of the ANN by T = 67 (lenet on mnist-5k): robust-norm." in found
