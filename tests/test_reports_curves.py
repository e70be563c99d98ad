"""Curves: what stands at which T, which seeds share it, and which network is the fastest."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import reports
from reports.best import best_direct
from reports.curves import curves, families, fastest, reference
from tests.synthetic_study import write_study

GRID = (1, 2, 4, 8)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    home = tmp_path_factory.mktemp("study")
    methods = ("data-norm", "robust-norm", "bptt")
    return curves(reports.study(write_study(home, methods=methods, seeds=2, timesteps=GRID)))


def changed(home, change):
    """The curves of a study of two seeds whose records went through `change`."""
    write_study(home, methods=("data-norm",), seeds=2, timesteps=GRID)
    records = pd.read_csv(home / "records.csv")
    change(records).to_csv(home / "records.csv", index=False)
    return curves(reports.study(home))


def with_accuracy(curve, *values, **changes):
    """The curve with these accuracies of every seed."""
    rows = np.tile(np.array(values), (len(curve.seeds), 1))
    return replace(curve, measures=curve.measures | {"accuracy": rows}, **changes)


def test_conversions_are_reported_at_their_largest_steps(found):
    _, converted, _, direct = found
    assert direct.report_timestep == 8
    assert replace(direct, train_timesteps=2).report_timestep == 2
    assert replace(direct, train_timesteps=16).report_timestep == 8  # not in the sweep
    assert replace(converted, train_timesteps=2).report_timestep == 8


def test_the_best_direct_network_is_so_where_it_is_reported(found):
    direct = found[-1]
    early = with_accuracy(direct, 0.1, 0.8, 0.1, 0.1, train_timesteps=2)
    late = with_accuracy(direct, 0.1, 0.1, 0.7, 0.9, train_timesteps=4)
    assert best_direct([late, early]) is early


def test_the_reference_is_the_plain_ann_wherever_it_stands(found):
    ann = found[0]
    quantised = replace(ann, method="qcfs-ann", base="qcfs-ann")
    assert reference([quantised, ann, found[1]]) is ann
    assert reference([quantised, found[1]]) is quantised
    assert reference(found[1:]) is None


def test_the_fastest_counts_its_calibration_and_the_more_accurate_goes_first(found):
    _, one, two, direct = found
    slow = with_accuracy(one, 0.1, 0.2, 0.9, 0.9)
    early = with_accuracy(two, 0.1, 0.9, 0.9, 0.9, calibration_timesteps=3)
    assert fastest([early, slow], "converted", 0.9) is slow  # 4 against 2 + 3
    better = with_accuracy(two, 0.1, 0.2, 0.9, 0.95)
    assert fastest([slow, better], "converted", 0.9) is better
    assert fastest([slow, better], "converted", 0.99) is better  # neither gets there
    lost = with_accuracy(direct, 0.1, 0.9, 0.9, 0.5, train_timesteps=4)
    kept = with_accuracy(direct, 0.1, 0.1, 0.9, 0.9, train_timesteps=4)
    assert fastest([kept, lost], "direct", 0.9) is lost  # from 2 on, up to the training T


def test_only_steps_that_every_seed_has_are_of_the_curve(tmp_path):
    def gap(records):
        return records[~((records["case"] == "data-norm-lenet-1") & (records["timestep"] == 4))]

    _, curve = changed(tmp_path, gap)
    assert curve.timesteps.tolist() == [1, 2, 8]
    assert not np.isnan(curve.accuracy).any()


def test_seeds_stand_with_their_cases_and_the_longest_calibration_counts(tmp_path):
    def other_seeds(records):
        for case, seed, steps in (("data-norm-lenet-0", 5, 2), ("data-norm-lenet-1", 3, 4)):
            records.loc[records["case"] == case, ["seed", "calibration_timesteps"]] = seed, steps
        return records

    _, curve = changed(tmp_path, other_seeds)
    assert curve.cases == ("data-norm-lenet-0", "data-norm-lenet-1")
    assert curve.seeds == (5, 3)
    assert curve.calibration_timesteps == 4
    assert curve.latency.tolist() == [5, 6, 8, 12]


def test_a_measure_that_one_seed_lacks_has_no_interval(found):
    spikes = found[1].measures["spikes_per_image"].copy()
    spikes[0, 1] = np.nan
    part = replace(found[1], measures=found[1].measures | {"spikes_per_image": spikes})
    assert part.interval("spikes_per_image", 2) is None
    assert part.interval("spikes_per_image", 4).n == 2


def test_right_answers_are_counted_to_the_nearest_image(found):
    assert int(0.29 * 400) == 115  # in floating point
    one = replace(found[1], seeds=(0,), measures={"accuracy": np.full((1, 4), 0.29)})
    assert one.accuracy_interval(1).estimate == 0.29


def test_a_family_is_of_one_data_set_and_several_depths(found):
    curve = found[1]
    five, nine = (replace(curve, architecture=f"vgg{d}", depth=d) for d in (5, 9))
    apart = replace(nine, dataset="svhn")
    assert families([five, nine, apart]) == {"vgg on mnist-5k": [five, nine]}
    assert families([five, replace(five, label="other")]) == {}
