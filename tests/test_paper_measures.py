"""Our numbers beside published ones: each against the records or the table it comes from."""

from dataclasses import replace
from pathlib import Path

import pytest

import reports
from reports.analysis import Analysis
from reports.tables import iso, paper, summary
from reports.tables.cells import MISSING
from reports.tables.paper_measures import (
    ALL_SPIKES,
    ANN_ENERGY,
    BEST_ACCURACY,
    DIRECT_ENERGY,
    OPERATIONS,
    cell_of,
)
from reports.words import BEST_OF_SWEEP, ISO, OWN_BEST, SPIKES_RATIO, STEPS_RATIO
from tests.synthetic_study import DENSE_MACS, write_study


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    folder = write_study(tmp_path_factory.mktemp("study"), seeds=2)
    with (folder / "study.toml").open("a") as stream:
        for steps in (8, 9):
            stream.write(
                f'\n[[paper]]\nmethod = "bptt"\ntrain_timesteps = {steps}\n'
                'measure = "best_accuracy"\nvalue = 90.0\nunit = "%"\n'
            )
    return Analysis(reports.study(folder))


def test_operations_over_the_macs_of_the_ann(analysis: Analysis) -> None:
    curve = next(c for c in analysis.curves if c.method == "data-norm")
    rows = analysis.study.records.query("method == 'data-norm' and timestep == 32")
    both = (rows["ac_per_image"] + rows["mac_per_image"]).mean()
    cell = cell_of(OPERATIONS, curve, 32, analysis)
    assert cell.value == pytest.approx(both / DENSE_MACS)


def test_energies_over_those_of_the_ann_and_of_the_direct_network(tmp_path: Path) -> None:
    """With the counts of Lee 2020, section 5.4, the ratios that it works out from them."""
    folder = write_study(tmp_path, methods=("data-norm", "bptt"), seeds=2, timesteps=(4, 8))
    records = reports.study(folder).records
    for method, additions in (("data-norm", 28.18), ("bptt", 3.61)):
        own = records["method"] == method
        records.loc[own, "ac_per_image"] = additions * DENSE_MACS * records["timestep"] / 8
        records.loc[own, "mac_per_image"] = 0.0
    records.to_csv(folder / "records.csv", index=False)
    analysis = Analysis(reports.study(folder))
    of = {curve.method: curve for curve in analysis.curves}
    converted, direct, ann = of["data-norm"], of["bptt"], of["ann"]
    assert cell_of(DIRECT_ENERGY, converted, 8, analysis).value == pytest.approx(28.18 / 3.61)
    assert cell_of(DIRECT_ENERGY, converted, 8, analysis).text == "7.81×"
    assert cell_of(DIRECT_ENERGY, converted, 4, analysis).value == pytest.approx(14.09 / 3.61)
    assert cell_of(ANN_ENERGY, direct, 8, analysis).value == pytest.approx(3.2 / (0.1 * 3.61))
    for measure, curve, timestep in (
        (DIRECT_ENERGY, direct, 8), (DIRECT_ENERGY, ann, 0), (ANN_ENERGY, ann, 0)
    ):  # fmt: skip
        assert cell_of(measure, curve, timestep, analysis) is MISSING
    records["ac_per_image"] = None
    records.to_csv(folder / "records.csv", index=False)
    without = Analysis(reports.study(folder))
    curve = next(c for c in without.curves if c.method == "data-norm")
    assert cell_of(ANN_ENERGY, curve, 8, without) is MISSING
    assert cell_of(DIRECT_ENERGY, curve, 8, without) is MISSING


def test_best_accuracy_is_the_highest_of_the_sweep(analysis: Analysis) -> None:
    curve = next(c for c in analysis.curves if c.method == "bptt")
    rows = analysis.study.records.query("method == 'bptt'")
    highest = rows.groupby("timestep")["accuracy"].mean().max()
    assert cell_of(BEST_ACCURACY, curve, 8, analysis).value == pytest.approx(100 * highest)


def test_steps_and_speedups_are_those_of_the_iso_table(analysis: Analysis) -> None:
    table = iso(analysis)
    names = [column.name for column in table.columns]
    row = next(r for r in table.rows if r[1].text == "spike-norm")
    curve = next(c for c in analysis.curves if c.method == "spike-norm")
    for measure, name in (
        ("iso_timesteps", "T iso"),
        ("max_timesteps", "T max"),
        ("iso_speedup", f"{STEPS_RATIO}, {ISO}"),
        ("max_speedup", f"{STEPS_RATIO}, {OWN_BEST}"),
        ("max_spike_efficiency", f"{SPIKES_RATIO}, {OWN_BEST}"),
    ):
        assert cell_of(measure, curve, 32, analysis) == row[names.index(name)], measure


def test_what_is_set_up_otherwise_is_said_under_the_paper_table(analysis: Analysis) -> None:
    said = {"differences": ["4 epochs (paper: 150)"]}
    study = replace(analysis.study, settings={**analysis.study.settings, **said})
    table = paper(Analysis(study))
    assert table is not None
    assert table.notes[-1] == "Unlike the source: 4 epochs (paper: 150)."
    assert study.differences == ("4 epochs (paper: 150)",)
    assert not analysis.study.differences


def test_the_tables_say_where_they_read_the_direct_network(analysis: Analysis) -> None:
    for table in (summary(analysis), iso(analysis)):
        assert any(BEST_OF_SWEEP in note for note in table.notes), table.name
    row = {"method": "data-norm", "measure": "iso_speedup", "value": 4.0}
    for rows, said in (((row,), True), ((row | {"measure": "accuracy"},), False)):
        table = paper(Analysis(replace(analysis.study, settings={"paper": rows})))
        assert table is not None
        assert (BEST_OF_SWEEP in table.notes) == said


def test_what_is_not_in_the_records_is_a_dash(analysis: Analysis) -> None:
    ann = next(c for c in analysis.curves if c.arm == "ann")
    converted = next(c for c in analysis.curves if c.method == "data-norm")
    assert cell_of(OPERATIONS, ann, 0, analysis) is MISSING
    assert cell_of(ALL_SPIKES, ann, 0, analysis) is MISSING
    assert cell_of("iso_timesteps", ann, 0, analysis) is MISSING
    # constant input: its spikes are missing, and so is the sum
    assert cell_of(ALL_SPIKES, converted, 32, analysis) is MISSING


def test_a_row_finds_the_network_by_its_training_steps(analysis: Analysis) -> None:
    table = paper(analysis)
    assert table is not None
    trained, other = table.rows[-2:]
    assert trained[0].text == "bptt, best accuracy (%)"
    assert trained[3].value is not None
    assert other[3] is MISSING  # nothing was trained for 9 steps


def test_all_spikes_are_those_of_hidden_neurons_and_input(tmp_path: Path) -> None:
    folder = write_study(tmp_path, seeds=1)
    records = reports.study(folder).records
    records["input_spikes_per_image"] = records["timestep"] * 10.0
    records.to_csv(folder / "records.csv", index=False)
    analysis = Analysis(reports.study(folder))
    curve = next(c for c in analysis.curves if c.method == "data-norm")
    # 5 steps of 10 input spikes, and 40 hidden spikes (about) in each step
    hidden = curve.mean("spikes_per_image")[curve.index(5)]
    assert cell_of(ALL_SPIKES, curve, 5, analysis).value == pytest.approx(hidden + 50.0)
