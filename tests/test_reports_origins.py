"""What a network starts from is said where it decides what an answer means."""

import shutil
from dataclasses import replace

import pandas as pd
import pytest

import reports
from reports.analysis import Analysis
from reports.answers import _short, answers
from reports.caveats import caveats
from reports.iso import Estimate, Pace
from reports.metrics import NOT_REACHED
from reports.origins import has_own_ann, is_tuned, started_from
from reports.provenance import compared, provenance
from tests.synthetic_study import write_study
from tests.test_reports_answers import set_facts

GRID = (1, 2, 4, 8, 16, 32)
OWN = "qcfs-ann-lenet-0"


def starts(home, **owners):
    """A study in which the cases of these methods start from these ANNs; a second ANN is there."""
    write_study(home, seeds=1, timesteps=GRID, train_timesteps=(4, 8))
    records = pd.read_csv(home / "records.csv")
    own = records[records["arm"] == "ann"].assign(method="qcfs-ann", case=OWN, accuracy=0.96)
    pd.concat([records, own]).to_csv(home / "records.csv", index=False)
    shutil.copytree(home / "cases" / "ann-lenet-0", home / "cases" / OWN)
    set_facts(home, lambda facts: facts["spec"].update(method="qcfs-ann"), OWN)
    for method, ann in owners.items():
        pattern = method.replace("_", "-") + "-lenet-0*"
        set_facts(home, lambda facts, ann=ann: facts.update(ann_case=ann), pattern)
    return Analysis(reports.study(home))


@pytest.fixture
def analysis(tmp_path):
    return starts(tmp_path, data_norm="ann-lenet-0", robust_norm=OWN, spike_norm="ann-lenet-0")


def test_an_ann_of_its_own_is_told_from_the_one_that_all_are_held_against(analysis):
    study, items = analysis.study, analysis.curves
    own = {curve.label for curve in items if has_own_ann(study, curve, items)}
    assert own == {"robust-norm"}
    plain = next(curve for curve in items if curve.label == "data-norm")
    assert started_from(study, plain, items).label == "ANN"
    assert not [curve for curve in items if is_tuned(study, curve, items)]


def test_the_answer_says_so_and_names_the_fastest_of_the_others(analysis):
    (answer,) = answers(analysis)
    assert "conversion by robust-norm, from an ANN of its own (96.00 %), needs T = " in (
        answer.headline
    )
    words = [line for line in answer.details if line.startswith("Of the conversions of the ANN as")]
    assert words[0].startswith("Of the conversions of the ANN as it is, data-norm")
    found = "\n".join(caveats(analysis))
    assert "Converted from an ANN of its own, and held against the other one: robust-norm" in found
    assert "Not trained from scratch" not in found


def test_a_training_from_a_conversion_is_not_taken_for_one_from_scratch(tmp_path):
    analysis = starts(tmp_path)
    fastest = answers(analysis)[0].headline.split("direct training by ")[1].split(" needs")[0]
    (tmp_path / "tuned").mkdir()
    case = "bptt-lenet-0-T" + fastest.removeprefix("bptt (T=").removesuffix(")")
    tuned = starts(tmp_path / "tuned")
    set_facts(tmp_path / "tuned", lambda facts: facts.update(ann_case="ann-lenet-0"), case)
    tuned = Analysis(reports.study(tmp_path / "tuned"))
    (answer,) = answers(tuned)
    assert f"direct training by {fastest}, which starts from a conversion, needs" in answer.headline
    assert sum("f the trainings from scratch, bptt (T=" in line for line in answer.details) == 1
    found = "\n".join(caveats(tuned))
    assert f"Not trained from scratch but from a conversion, whose ANN it needs too: {fastest}" in (
        found
    )


def test_epochs_and_single_threads_are_told(analysis, tmp_path):
    facts = {fact.name: fact.text for fact in compared(analysis)}
    assert facts["Epochs of training"] == "ANN: 8, ANN (qcfs): 8, bptt (T=4): 8, bptt (T=8): 8"
    set_facts(tmp_path, lambda facts: facts["machine"].update(threads=1))
    machine = {f.name: f.text for f in provenance(Analysis(reports.study(tmp_path)))}["Machine"]
    assert "2 cores, 1 thread, 8 GB" in machine


def test_a_part_of_the_data_and_few_images_are_told(analysis, tmp_path):
    assert "400 test images: a point of accuracy is 4 of them" in "\n".join(caveats(analysis))
    assert "alone" not in "\n".join(caveats(analysis))
    set_facts(tmp_path, lambda facts: facts["spec"].update(train_images=3500, test_images=400))
    found = "\n".join(caveats(Analysis(reports.study(tmp_path))))
    assert "A part of mnist-5k alone: 3,500 training and 400 test images." in found


def test_a_random_input_of_one_seed_is_told(tmp_path):
    write_study(tmp_path, seeds=1, timesteps=GRID)
    path = tmp_path / "records.csv"
    records = pd.read_csv(path, keep_default_na=False)
    records.loc[records["method"] == "spike-norm", "encoding"] = "poisson"
    records.to_csv(path, index=False)
    found = "\n".join(caveats(Analysis(reports.study(tmp_path))))
    assert "Input spikes were drawn at random, once: spike-norm. No interval has" in found


def test_spikes_of_the_input_are_named_where_they_are_counted_in(tmp_path):
    write_study(tmp_path, seeds=1, timesteps=GRID)
    path = tmp_path / "records.csv"
    records = pd.read_csv(path)
    records.loc[records["method"] == "bptt", "input_spikes_per_image"] = 100.0
    records.to_csv(path, index=False)
    lines = answers(Analysis(reports.study(tmp_path)))[0].details
    (direct,) = [line for line in lines if line.startswith("bptt spends")]
    assert " spikes per image, those of the input included, and " in direct
    assert sum("those of the input" in line for line in lines) == 1


def test_accuracies_by_depth_say_their_t_and_an_interval_that_is_nowhere_reached_is_left_out(
    tmp_path,
):
    networks = (("vgg5", 5), ("vgg7", 7))
    write_study(tmp_path, seeds=1, timesteps=GRID, networks=networks)
    analysis = Analysis(reports.study(tmp_path))
    never = Estimate(NOT_REACHED, NOT_REACHED, NOT_REACHED, 1, 400)
    headline = answers(analysis)[0].headline
    assert "% at T = 32; bptt" in headline
    assert headline.endswith("% at T = 8.")
    pace = Pace(analysis.curves[1], (never,) * 3, (), never)
    assert _short(pace) == "not reached"
    doubtful = replace(never, low=4)
    assert _short(replace(pace, within=(doubtful,) * 3)) == "not reached [4, ∞]"
    assert _short(replace(pace, within=(replace(never, value=4),) * 3)) == "4 [∞, ∞]"
