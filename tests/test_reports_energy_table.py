"""The table of energies against sums by hand: one row of a conversion that calibrates first."""

import json
import math
import shutil
from pathlib import Path

import pandas as pd
import pytest

import reports
from reports.energy import lemaire
from reports.frame import Case
from reports.tables import energies
from reports.tables.energy_table import AGAINST, EFFECTIVE, _leaks
from tests.synthetic_study import DENSE_MACS, FIRST_LAYER_MACS, write_study
from tests.test_reports_energy import linear

CALIBRATION, STEPS, TRAINED = 8, 8, 2
GRID = (1, 2, 4, 8)
EFFECTIVE_MACS = (50_000.0, 70_000.0)


def study_of(home):
    """data-norm with steps of calibration, direct training for 2 steps; the ANN has its layers."""
    write_study(home, methods=("data-norm", "bptt"), seeds=2, timesteps=GRID, train_timesteps=(2,))
    records = pd.read_csv(home / "records.csv")
    records.loc[records["method"] == "data-norm", "calibration_timesteps"] = CALIBRATION
    records.to_csv(home / "records.csv", index=False)
    for seed in (0, 1):
        layer = linear(timestep=0, index=0, layer="fc", mac_per_image=6.0)
        case = home / f"cases/ann-lenet-{seed}"
        pd.DataFrame([layer]).to_csv(case / "layers.csv", index=False)
        sweep = {"timestep": 0, "mac_per_image": DENSE_MACS, EFFECTIVE: EFFECTIVE_MACS[seed]}
        pd.DataFrame([sweep]).to_csv(case / "sweep.csv", index=False)
    return home


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return study_of(tmp_path_factory.mktemp("study"))


def row_of(home, method):
    table = energies(reports.study(home))
    row = next(row for row in table.rows if row[1].text == method)
    return {column.name: cell for column, cell in zip(table.columns, row, strict=True)}


def by_lemaire(home, case, timestep, spent, **options):
    layers = pd.read_csv(home / "cases" / case / "layers.csv")
    return lemaire(layers[layers["timestep"] == timestep].to_dict("records"), spent, **options)


@pytest.mark.parametrize("method", ["data-norm", "bptt"])
def test_the_effective_ann_multiplies_what_is_not_zero_alone(home, method):
    cell = row_of(home, method)["ANN, effective, horowitz-fp32"]
    assert (cell.value, cell.low, cell.high) == pytest.approx((276_000, 230_000, 322_000))


@pytest.mark.parametrize("macs", [math.nan, DENSE_MACS + 1, None])
def test_no_effective_ann_where_a_record_has_none_or_more_than_all(home, tmp_path, macs):
    kept = shutil.copytree(home, tmp_path / "kept")
    sweep = kept / "cases/ann-lenet-1/sweep.csv"
    table = pd.read_csv(sweep)
    table = table.drop(columns=EFFECTIVE) if macs is None else table.assign(**{EFFECTIVE: macs})
    table.to_csv(sweep, index=False)
    assert row_of(kept, "bptt")["ANN, effective, horowitz-fp32"].value is None


def test_simple_models_and_break_evens_by_hand(home):
    row = row_of(home, "data-norm")
    additions = 40 * STEPS * 60  # synapses driven in 8 steps; those before are not in the records
    energy = 0.9 * additions + 4.6 * FIRST_LAYER_MACS
    assert row["T"].value == STEPS + CALIBRATION
    assert row["Energy, horowitz-fp32"].value == pytest.approx(energy)
    assert row["ANN over SNN"].value == pytest.approx(4.6 * DENSE_MACS / energy)
    whole = 0.1 * additions + 3.2 * FIRST_LAYER_MACS
    assert row["Energy, horowitz-int32"].value == pytest.approx(whole)
    # 8 steps tell 9 values apart, which take 4 bits: 3.1 · (32 · 4)/32² + 0.1
    assert row["ANN, matched-qnn"].value == pytest.approx(DENSE_MACS * (3.1 * 4 / 32 + 0.1))
    assert row["Spikes per synapse"].value == pytest.approx(
        additions / (DENSE_MACS - FIRST_LAYER_MACS)
    )
    limits = [cell.text for name, cell in row.items() if name.startswith(AGAINST)]
    assert limits == ["below", "below", "above", "below"]


def test_energies_with_memory_are_of_the_reported_steps(home):
    for method, case, spent, timestep in (
        ("data-norm", "data-norm-lenet-{}", STEPS + CALIBRATION, STEPS),
        ("bptt", "bptt-lenet-{}-T2", TRAINED, TRAINED),
    ):
        row = row_of(home, method)
        values = [by_lemaire(home, case.format(seed), timestep, spent) for seed in (0, 1)]
        assert row["Energy, lemaire"].value == pytest.approx(sum(values) / 2)
        assert row["Energy, lemaire"].n == "2 seeds"
        assert row["ANN, lemaire"].value == pytest.approx(by_lemaire(home, "ann-lenet-0", 0, 0))


@pytest.mark.parametrize(
    ("facts", "leak"),
    [
        ({}, False),
        ({"leak": True}, True),
        ({"leak": False, "spec": {"options": {"neuron": "lif"}}}, False),
        ({"spec": {"options": {"neuron": "lif-iterative"}}}, True),
        ({"spec": {"options": {"neuron": "if"}, "base": "tdbn"}}, False),
        ({"spec": {"method": "mine", "base": "lee2020"}}, True),
        ({"spec": {"method": "tdbn", "base": "bptt"}}, False),
        ({"spec": {"method": "spike-bp"}}, True),
    ],
)
def test_neurons_leak_as_recorded_else_as_asked_else_as_their_rule_does(facts, leak):
    assert _leaks(Case("case", Path(), facts)) is leak


def test_a_leak_costs_energy(home, tmp_path):
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    for file in tmp_path.glob("cases/bptt*/case.json"):
        file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | {"leak": True}), "utf-8")
    cases = [f"bptt-lenet-{seed}-T2" for seed in (0, 1)]
    values = [by_lemaire(home, case, TRAINED, TRAINED, leak=True) for case in cases]
    found = row_of(tmp_path, "bptt")["Energy, lemaire"].value
    assert found == pytest.approx(sum(values) / 2)
    assert found > row_of(home, "bptt")["Energy, lemaire"].value


def test_what_is_not_counted_has_no_energy(home, tmp_path):
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    records = pd.read_csv(tmp_path / "records.csv")
    blank = ["ac_per_image", "energy_pj_per_image"]
    records.loc[records["method"] == "bptt", blank] = math.nan
    records.to_csv(tmp_path / "records.csv", index=False)
    row = row_of(tmp_path, "bptt")
    assert [cell.text for cell in row.values()][2:12] == ["–"] * 10
    assert row_of(tmp_path, "data-norm")["ANN over SNN"].value is not None


def test_without_a_row_for_every_layer_of_the_ann_nothing_has_memory(home, tmp_path):
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    (tmp_path / "cases" / "ann-lenet-1" / "layers.csv").unlink()
    row = row_of(tmp_path, "data-norm")
    assert (row["Energy, lemaire"].text, row["ANN, lemaire"].text) == ("–", "–")
