"""Steps and spikes at equal accuracy: calibration and input count, and what a resample is of."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import reports
from reports.analysis import Analysis
from reports.iso import paces, spikes_ratio, spikes_with_input, steps_ratio
from reports.metrics import NOT_REACHED
from reports.resampling import Samples, resample
from reports.tables import iso
from reports.tables.paper_measures import cell_of
from reports.words import ISO, OWN_BEST, SPIKES_RATIO
from tests.synthetic_study import write_study

CALIBRATION = 3


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    """robust-norm, at last above the best of bptt: the iso sense has numbers too."""
    home = tmp_path_factory.mktemp("study")
    methods = ("robust-norm", "bptt")
    return Analysis(reports.study(write_study(home, methods=methods, timesteps=range(1, 65))))


@pytest.fixture(scope="module")
def few(analysis):
    return resample(analysis.study, analysis.curves, np.random.default_rng(3), 200)


def first_from(curve, target):
    """The first T from which no accuracy is below the target."""
    low = [t for t, a in zip(curve.timesteps, curve.accuracy, strict=True) if a < target - 1e-12]
    return int(min(t for t in curve.timesteps if t > max(low, default=0)))


def pace_of(converted, others, samples):
    return next(p for p in paces([*others, converted], samples) if p.curve is converted)


def test_steps_of_calibration_count_as_steps_and_no_spike_is_read_at_them(analysis, few):
    ann, plain, direct = analysis.curves
    late = replace(plain, calibration_timesteps=CALIBRATION)
    for samples in (Samples(), few):
        one, two = (pace_of(c, (ann, direct), samples) for c in (plain, late))
        for name in ("iso_spike_efficiency", "max_spike_efficiency"):
            assert getattr(two, name) == getattr(one, name)
        own = first_best(direct)
        for name, steps in (("iso", one.iso.value), ("max", one.best.value)):
            assert getattr(one, f"{name}_speedup").value == steps / own
            assert getattr(two, f"{name}_speedup").value == (steps + CALIBRATION) / own
        for early, after in zip(one.within, two.within, strict=True):
            assert after.value == early.value + CALIBRATION
        ratio = steps_ratio(late, direct, ann, 1.0, samples)
        reached = [first_from(c, ann.accuracy[0] - 0.01) for c in (plain, direct)]
        assert ratio.value == (reached[0] + CALIBRATION) / reached[1]
        assert spikes_ratio(late, direct, ann, 1.0, samples) == spikes_ratio(
            plain, direct, ann, 1.0, samples
        )


def test_steps_of_calibration_of_a_direct_network_count_against_it(analysis):
    ann, converted, direct = analysis.curves
    late = replace(direct, calibration_timesteps=2)
    one, two = (pace_of(converted, (ann, other), Samples()) for other in (direct, late))
    own = first_best(direct)
    for name in ("iso_speedup", "max_speedup"):
        assert getattr(two, name).value == pytest.approx(getattr(one, name).value * own / (own + 2))


def first_best(curve):
    return int(curve.timesteps[np.flatnonzero(curve.accuracy == curve.accuracy.max())[0]])


def test_the_two_senses_of_an_efficiency_by_hand(analysis):
    """Spikes at the steps to the direct network's best, and at the method's own best."""
    ann, converted, direct = analysis.curves
    pace = pace_of(converted, (ann, direct), Samples())
    reached, own = first_from(converted, direct.accuracy.max()), first_best(direct)
    assert pace.iso.value == reached
    assert pace.iso_spike_efficiency.value == pytest.approx(70 * reached / (110 * own))
    assert pace.max_spike_efficiency.value == pytest.approx(
        70 * first_best(converted) / (110 * own)
    )
    assert reached != first_best(converted)


def test_tables_tell_the_two_senses_and_the_tolerances_apart(analysis):
    table, pace = iso(analysis), analysis.paces["lenet on mnist-5k"][0]
    (row,) = [row for row in table.rows if row[1].text == "robust-norm"]
    found = {c.name: cell.value for c, cell in zip(table.columns, row, strict=True)}
    steps = [first_from(pace.curve, analysis.curves[0].accuracy[0] - d / 100) for d in (0.5, 1, 2)]
    assert steps == sorted(set(steps), reverse=True)
    assert [found[f"T*({d})"] for d in ("0.5", "1", "2")] == steps
    for sense in ("iso", "max"):
        ratio = getattr(pace, f"{sense}_spike_efficiency").value
        where = {"iso": ISO, "max": OWN_BEST}[sense]
        assert found[f"{SPIKES_RATIO}, {where}"] == ratio
        measure = f"{sense}_spike_efficiency"
        assert cell_of(measure, pace.curve, 64, analysis).value == ratio


def test_the_table_reads_the_training_range_at_one_point(analysis):
    table = iso(analysis)
    (row,) = [row for row in table.rows if row[1].text == "bptt"]
    (place,) = [i for i, c in enumerate(table.columns) if c.name.startswith("T(1 point)")]
    direct = next(c for c in analysis.curves if c.arm == "direct")
    one = first_from(direct, analysis.curves[0].accuracy[0] - 0.01)
    assert one <= 8
    assert row[place].value == one


def test_a_direct_network_is_at_its_best_where_it_is(analysis):
    """Its best accuracy is the target, not that of the last T."""
    ann, converted, direct = analysis.curves
    values = direct.measures["accuracy"].copy()
    values[:, 20:] = 0.5
    falling = replace(direct, measures=direct.measures | {"accuracy": values})
    pace = pace_of(converted, (ann, falling), Samples())
    assert pace.iso.value == first_from(converted, falling.accuracy.max())


def test_spikes_of_the_input_count(analysis):
    ann, converted, direct = analysis.curves
    inputs = np.tile(100.0 * converted.timesteps, (3, 1))
    fed = replace(converted, measures=converted.measures | {"input_spikes_per_image": inputs})
    hidden = fed.mean("spikes_per_image")
    assert spikes_with_input(fed) == pytest.approx(hidden + 100 * fed.timesteps)
    assert spikes_with_input(converted) == pytest.approx(hidden)  # analogue input: none
    pace = pace_of(fed, (ann, direct), Samples())
    place, own = fed.accuracy.argmax(), direct.accuracy.argmax()
    spikes = hidden[place] + 100 * fed.timesteps[place]
    assert pace.max_spike_efficiency.value == pytest.approx(
        spikes / direct.mean("spikes_per_image")[own]
    )


def test_spikes_that_were_not_counted_have_no_ratio(analysis, few):
    ann, converted, direct = analysis.curves
    blank = np.full_like(converted.measures["spikes_per_image"], np.nan)
    blind = replace(converted, measures=converted.measures | {"spikes_per_image": blank})
    pace = pace_of(blind, (ann, direct), few)
    assert pace.max_spike_efficiency is None
    assert pace.max_speedup is not None


def test_spikes_of_a_resample_are_a_mean_over_its_seeds(analysis, few):
    for curve in analysis.curves[1:]:
        spikes, drawn = curve.measures["spikes_per_image"], few.spikes(curve)
        assert (drawn >= spikes.min(axis=0) - 1e-9).all()
        assert (drawn <= spikes.max(axis=0) + 1e-9).all()
        assert len(np.unique(drawn[:, 0].round(9))) > 3  # of three seeds, drawn in several ways


def test_two_anns_are_neither_of_them_paced(analysis):
    ann, converted, direct = analysis.curves
    other = replace(ann, method="qcfs-ann", base="qcfs-ann", label="ANN (qcfs)")
    found = paces([ann, other, converted, direct], Samples())
    assert [pace.curve.arm for pace in found] == ["converted", "direct"]


def test_a_resample_reads_the_images_of_the_steps_that_the_records_have(tmp_path):
    write_study(tmp_path, methods=("bptt",), timesteps=(1, 2, 4, 8), seeds=2)
    records = pd.read_csv(tmp_path / "records.csv")
    records[records["timestep"].isin([0, 2, 8])].to_csv(tmp_path / "records.csv", index=False)
    part = Analysis(reports.study(tmp_path))
    _, bptt = part.curves
    assert bptt.timesteps.tolist() == [2, 8]
    samples = resample(part.study, part.curves, np.random.default_rng(3), 500)
    assert samples.accuracies(bptt).mean(axis=0) == pytest.approx(bptt.accuracy, abs=0.005)


@pytest.mark.parametrize("cut", ["steps", "images"])
def test_without_the_same_images_at_every_step_there_is_no_bootstrap(tmp_path, cut):
    write_study(tmp_path, methods=("bptt",), timesteps=(1, 2, 4, 8), seeds=1)
    file = tmp_path / "cases" / "bptt-lenet-0-T8" / "correct.npz"
    with np.load(file) as kept:
        arrays = dict(kept)
    for name, values in arrays.items():
        if cut == "images" and name != "timesteps":
            arrays[name] = values[..., :300]
        elif cut == "steps" and name != "labels":
            arrays[name] = values[:3]
    np.savez(file, **arrays)
    found = Analysis(reports.study(tmp_path))
    assert not found.samples["lenet on mnist-5k"]
    (pace,) = found.paces["lenet on mnist-5k"]
    assert pace.best.value is not NOT_REACHED
    assert pace.best.low is None
