"""The table of training times, against seconds added up by hand."""

import json
from pathlib import Path

import pytest

import reports
from reports.analysis import Analysis
from reports.provenance import provenance
from reports.tables import Table, training_times
from reports.writers import to_csv
from tests.synthetic_study import write_study

SECONDS = {"ann": {"train": 10.0, "sweep": 99.0}, "robust-norm": {"convert": 2.0, "sweep": 99.0},
           "bptt": {"train": 30.0}}  # fmt: skip


def timed(directory: Path, *, left_out: str = "") -> Path:
    """A study of 2 seeds whose second seed took twice as long; `left_out` has no times."""
    write_study(directory, seeds=2, methods=("robust-norm", "bptt"), train_timesteps=(2, 8))
    for file in directory.glob("cases/*/case.json"):
        facts = json.loads(file.read_text("utf-8"))
        method, seed = facts["spec"]["method"], facts["spec"]["seed"]
        elapsed = {stage: s * (1 + seed) for stage, s in SECONDS[method].items()}
        facts["elapsed_s"] = {} if method == left_out else elapsed
        facts["ann_case"] = f"ann-lenet-{seed}" if method == "robust-norm" else None
        file.write_text(json.dumps(facts), "utf-8")
        history(file.parent, 3.0, 9.0)
    return directory


def history(case: Path, *elapsed: float) -> None:
    rows = [f"{epoch},{seconds}" for epoch, seconds in enumerate(elapsed, 1)]
    (case / "history.csv").write_text("\n".join(["epoch,elapsed_s", *rows]) + "\n")


def column(table: Table, name: str) -> dict[str, object]:
    place = next(i for i, c in enumerate(table.columns) if c.name == name)
    return {row[1].text: row[place].value for row in table.rows}


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return training_times(reports.study(timed(tmp_path)))


def test_seconds_are_those_of_making_the_ann_included(table: Table) -> None:
    # robust-norm: (10 + 2) and 2 · (10 + 2) -> mean 18; its ANN 10 and 20 -> 15; bptt 30 and 60
    assert column(table, "Training") == pytest.approx(
        {"ANN": 15.0, "robust-norm": 18.0, "bptt (T=2)": 45.0, "bptt (T=8)": 45.0}
    )
    assert column(table, "of it the ANN")["robust-norm"] == pytest.approx(15.0)
    assert column(table, "of it the ANN")["bptt (T=2)"] is None


def test_the_answer_is_that_of_the_training_or_the_last_within_four_steps(table: Table) -> None:
    steps = column(table, "T")
    assert steps == {"ANN": None, "robust-norm": 4.0, "bptt (T=2)": 2.0, "bptt (T=8)": 4.0}


def test_times_say_their_unit_themselves(table: Table) -> None:
    assert [column.heading for column in table.columns[2:]] == [
        "Training ↓", "of it the ANN ↓", "T (steps)", "Accuracy within 4 steps (%) ↑"
    ]  # fmt: skip
    assert [row[2].text for row in table.rows] == ["15 s", "18 s", "45 s", "45 s"]
    assert to_csv(table).startswith("Network,Method,Training (s),")


def test_a_method_whose_times_are_not_known_is_left_out(tmp_path: Path) -> None:
    left = training_times(reports.study(timed(tmp_path, left_out="ann")))
    assert [row[1].text for row in left.rows] == ["bptt (T=2)", "bptt (T=8)"]


def test_an_interrupted_training_took_all_of_its_parts(tmp_path: Path) -> None:
    """case.json of old has the last part alone; ANN of seed 0: 10 said, 50 in its history."""
    timed(tmp_path)
    history(tmp_path / "cases" / "ann-lenet-0", 20.0, 50.0)
    history(tmp_path / "cases" / "bptt-lenet-1-T8")  # no epoch: as said
    table = training_times(reports.study(tmp_path))
    assert column(table, "Training") == pytest.approx(
        {"ANN": 35.0, "robust-norm": 38.0, "bptt (T=2)": 45.0, "bptt (T=8)": 45.0}
    )
    assert column(table, "of it the ANN")["robust-norm"] == pytest.approx(35.0)
    facts = {fact.name: fact.text for fact in provenance(Analysis(reports.study(tmp_path)))}
    assert facts["Computing time"] == "14 min 10 s"  # stages as said, 810 s, and 40 more
