"""Steps in the tables: those of calibration count, and every T is the one that is meant."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import reports
from reports.analysis import Analysis
from reports.figures import FIGURES
from reports.tables import accuracy_at, differences, over_grid, paper, summary, training_times
from reports.tables.accuracy_table import timestep_grid
from reports.tables.paper_measures import BEST_ACCURACY, cell_of
from reports.words import LARGEST_T
from tests.synthetic_study import write_study

CALIBRATION = 3


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One seed: data-norm with steps of calibration, bptt trained for 8 and swept to 6."""
    folder = tmp_path_factory.mktemp("study")
    write_study(folder, methods=("data-norm", "spike-norm", "bptt"), seeds=1, timesteps=range(1, 7))
    records = pd.read_csv(folder / "records.csv")
    records.loc[records["method"] == "data-norm", "calibration_timesteps"] = CALIBRATION
    records.to_csv(folder / "records.csv", index=False)
    with (folder / "study.toml").open("a") as stream:
        stream.write('\n[[paper]]\nmethod = "bptt"\ntimestep = 4\nvalue = 90.0\nunit = "%"\n')
    return folder


@pytest.fixture(scope="module")
def analysis(home):
    return Analysis(reports.study(home))


def cells(table, method):
    row = next(row for row in table.rows if row[1].text == method)
    return {column.name: cell for column, cell in zip(table.columns, row, strict=True)}


def percent(analysis, method, timestep):
    rows = analysis.study.records.query(f"method == '{method}' and timestep == {timestep}")
    return pytest.approx(100 * rows["accuracy"].mean())


def test_the_grid_has_powers_of_two_and_the_largest(analysis):
    _, data_norm, _, bptt = analysis.curves
    assert timestep_grid([data_norm, bptt]) == [1, 2, 4, 6]
    short = replace(data_norm, timesteps=np.array([1, 4]))
    assert timestep_grid([short]) == [1, 4]
    assert timestep_grid([short, replace(bptt, timesteps=np.array([2, 16]))]) == [1, 2, 4, 16]


def test_accuracies_stand_below_their_steps(analysis):
    table = accuracy_at(analysis)
    row = cells(table, "data-norm")
    assert list(row) == ["Network", "Method", "T = 1", "T = 2", "T = 4", "T = 6"]
    for timestep in (1, 2, 4, 6):
        assert row[f"T = {timestep}"].value == percent(analysis, "data-norm", timestep)
    assert table.notes[-1] == "T: the steps after the observation steps (data-norm 3)."


def test_what_is_compared_names_its_steps_with_calibration(analysis):
    names = {cell.text for row in differences(analysis).rows for cell in row[1:3]}
    assert names == {"ANN", "data-norm at T = 9", "spike-norm at T = 6", "bptt at T = 6"}


def test_the_summary_says_where_a_sweep_ends_before_the_training_steps(analysis):
    ending = f"the sweep ends before that T for bptt. {LARGEST_T}"
    assert summary(analysis).notes[0].endswith(ending)
    study = analysis.study
    whole = study.records.assign(train_timesteps=study.records["train_timesteps"].replace(8, 6))
    notes = summary(Analysis(replace(study, records=whole))).notes
    assert notes[0] == f"Direct training is shown at the T it was trained for. {LARGEST_T}"


def test_a_paper_is_held_against_the_steps_that_it_names(analysis):
    row = paper(analysis).rows[-1]
    assert (row[1].value, row[3].value) == (4, percent(analysis, "bptt", 4))


def test_the_best_accuracy_is_that_of_any_steps(analysis):
    curve = analysis.curves[-1]
    values = np.array([[0.1, 0.5, 0.9, 0.4, 0.3, 0.2]])
    falling = replace(curve, measures=curve.measures | {"accuracy": values})
    assert cell_of(BEST_ACCURACY, falling, 6, analysis).value == pytest.approx(90.0)


@pytest.mark.parametrize("measure", ["best_accuracy", "iso_timesteps", "iso_speedup"])
def test_a_row_says_the_steps_at_which_its_number_is_read(analysis, measure):
    rows = [{"method": "bptt", "measure": measure, "value": 1}]
    study = replace(analysis.study, settings=analysis.study.settings | {"paper": rows})
    (row,) = paper(Analysis(study)).rows
    curve = next(c for c in analysis.curves if c.method == "bptt")
    best = int(curve.timesteps[curve.accuracy.argmax()])
    assert row[1].value == (best if measure == "best_accuracy" else None)


def test_of_two_conversions_the_better_at_the_largest_steps_is_compared(analysis):
    study = analysis.study
    records = study.records.copy()
    rows = records["method"] == "data-norm"
    records.loc[rows, "accuracy"] = [0.99, 0.1, 0.1, 0.1, 0.1, 0.2]
    found = over_grid(Analysis(replace(study, records=records)))
    assert {row[2].text for row in found.rows} == {"spike-norm"}
    assert not any("observation steps" in note for note in found.notes)
    records.loc[rows, "accuracy"] = [0.1, 0.1, 0.1, 0.1, 0.1, 0.99]
    found = over_grid(Analysis(replace(study, records=records)))
    assert {row[2].text for row in found.rows} == {"data-norm"}
    assert found.notes[-1] == "T: the steps after the observation steps (data-norm 3)."


def test_figures_name_the_steps_with_calibration(analysis):
    rows = FIGURES["layer-spikes"].prepare(analysis)
    steps = rows.groupby("label")["latency"].unique().map(list).to_dict()
    assert steps == {"data-norm": [6 + CALIBRATION], "spike-norm": [6], "bptt": [6]}
    study = analysis.study
    one = replace(study, records=study.records[study.records["method"] != "spike-norm"])
    panels = FIGURES["confusion"].prepare(Analysis(one))["panel"].unique()
    assert [panel.split(", ")[1] for panel in panels] == ["bptt at T = 6", "data-norm at T = 9"]


def test_an_answer_within_four_steps_has_its_calibration_among_them(home, analysis):
    row = cells(training_times(analysis), "data-norm")
    assert row["T"].value == 1 + CALIBRATION
    assert row["Accuracy within 4 steps"].value == percent(analysis, "data-norm", 1)
    facts = json.loads((home / "cases/data-norm-lenet-0/case.json").read_text("utf-8"))
    assert row["Training"].value == facts["elapsed_s"]["train"] + facts["elapsed_s"]["convert"]


def test_a_case_that_is_not_kept_has_no_training_time(analysis):
    cases = {n: c for n, c in analysis.study.cases.items() if not n.startswith("data-norm")}
    table = training_times(Analysis(replace(analysis.study, cases=cases)))
    assert [row[1].text for row in table.rows] == ["ANN", "spike-norm", "bptt"]


def test_guessing_is_judged_at_the_reported_steps_on_the_test_images(analysis):
    ann, *_, bptt = analysis.curves

    def classes(curve, values, seeds=(0,)):
        rows = np.tile(np.array(values), (len(seeds), 1))
        measures = curve.measures | {"accuracy": rows}
        return analysis.guessing(replace(curve, seeds=seeds, measures=measures))

    # 48 of 400 images: Wilson's interval begins at 9.2 %; more seeds do not make more images
    assert classes(ann, [0.12], (0, 1, 2, 3)) == 10
    assert classes(bptt, [0.9, 0.9, 0.9, 0.9, 0.9, 0.1]) == 10
    assert classes(bptt, [0.1, 0.1, 0.1, 0.1, 0.1, 0.9]) is None
