"""The frame around the cases of a study: what is said before them, what is written after."""

import csv
import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from compare import execute
from compare.earlier import MARK
from compare.plan import Plan
from compare.store import RECORD_COLUMNS, Store, write_csv
from compare.study import Study, StudyError, build_study
from compare.toml_text import to_toml
from compare.workers import Settings
from tests.test_store import write_case

SETTINGS = Settings(None, False, "cpu", 1, "isospike compare", None)


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Two cases, in place of what a study comes to."""
    study = build_study({"name": "mine", "precision": "float32", "threads": 1}, where="here")
    made = Plan(study, tmp_path / "out", (), ("case-1", "case-2"), (1.0, 1.0))
    monkeypatch.setattr(execute, "dataset_of", lambda *given: None)
    monkeypatch.setattr(execute, "make_plan", lambda *given: made)
    return made


def run(plan: Plan) -> None:
    execute.run_study(plan.study, plan.directory, SETTINGS, Console(stderr=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["absent.py:net"]}, r"model file absent\.py does not exist"),
        ({"options": {"robust-norm": {"percentil": 99}}}, "percentil"),
        ({"methods": ["data-norm"], "ann": {"momentum": 0.5}}, "momentum has an effect"),
    ],
)
def test_what_needs_no_data_is_checked_before_they_are_read(
    change: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "dataset_of", lambda *given: pytest.fail("data were read"))
    study = build_study({"name": "mine", **change}, where="here")
    with pytest.raises(ValueError, match=message):
        execute.run_study(study, tmp_path / "out", SETTINGS, Console(quiet=True))
    assert not (tmp_path / "out").exists()


def test_an_interrupted_study_has_records_of_what_is_finished(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_case_then_interrupted(*given: object) -> None:
        write_case(plan.store)
        raise KeyboardInterrupt

    monkeypatch.setattr(execute, "work_through", one_case_then_interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(plan)
    with (plan.directory / "records.csv").open(newline="") as stream:
        assert [row["case"] for row in csv.DictReader(stream)] == ["case-1"]


def test_a_fault_stays_what_is_told_where_records_cannot_be_written(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*given: object) -> None:
        raise RuntimeError("the first fault")

    def full(*given: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(execute, "work_through", faulty)
    monkeypatch.setattr("compare.store.Store.write_records", full)
    with pytest.raises(RuntimeError, match="the first fault"):
        run(plan)


def test_records_of_another_study_are_replaced_with_a_word(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(execute, "work_through", lambda *given: {})
    run(plan)
    words = f"{plan.directory} holds records of another study"
    assert words not in capsys.readouterr().err
    rows = [{"case": case} for case in ("case-2", "of another", "of another, too")]
    write_csv(plan.directory / "records.csv", RECORD_COLUMNS, rows)
    run(plan)
    assert f"{words} (2 of its cases)" in capsys.readouterr().err
    run(plan)
    assert words not in capsys.readouterr().err


def test_a_table_that_no_run_has_written_is_not_replaced(plan: Plan) -> None:
    plan.directory.mkdir()
    (plan.directory / "records.csv").write_text("x,y\n1,2\n")
    with pytest.raises(StudyError, match=r"records.csv is not one that a run has written"):
        run(plan)
    assert (plan.directory / "records.csv").read_text() == "x,y\n1,2\n"
    assert [path.name for path in plan.directory.iterdir()] == ["records.csv"]


def test_of_two_commands_that_begin_at_once_the_first_decides(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one writes study.toml after this one has looked for it."""
    theirs = plan.study.model_copy(update={"precision": "bfloat16"})
    ours = plan.study.model_copy(update={"precision": "auto"})

    def made(study: Study, *given: object) -> Plan:
        file = plan.directory / "study.toml"
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            file.write_text(to_toml(theirs) + f"\n{MARK}\n")
        return replace(plan, study=study)

    def probed(study: Study, earlier: Study | None, *given: object) -> Study:
        found = "float32" if earlier is None else earlier.precision
        return study.model_copy(update={"precision": found})

    monkeypatch.setattr(execute, "make_plan", made)
    monkeypatch.setattr(execute, "resolve", probed)
    monkeypatch.setattr(execute, "_say_what_is_slow", lambda *given: None)
    monkeypatch.setattr(execute, "work_through", lambda *given: {})
    found, _ = execute.run_study(ours, plan.directory, SETTINGS, Console(quiet=True))
    assert found.study.precision == "bfloat16"
    assert 'precision = "bfloat16"' in (plan.directory / "study.toml").read_text()
    assert not list(plan.directory.glob(".study.toml*"))


@pytest.mark.parametrize(
    ("ratio", "arm", "said"),
    [(9.0, "direct", True), (1.4, "direct", False), (9.0, "converted", False)],
)
def test_bfloat16_that_is_slow_on_this_machine_is_said(
    ratio: float, arm: str, said: bool, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = plan.study.model_copy(update={"precision": "bfloat16"})
    cases = (SimpleNamespace(arm="ann"), SimpleNamespace(arm=arm))
    here = replace(plan, study=study, cases=cases)  # type: ignore[arg-type]  # of a case its arm
    monkeypatch.setattr(execute, "make_plan", lambda *given: here)
    monkeypatch.setattr(execute, "_as_text", lambda *given: to_toml(study))
    monkeypatch.setattr(execute, "bfloat16_ratio", lambda *given: ratio)
    monkeypatch.setattr(execute, "work_through", lambda *given: {})
    monkeypatch.setattr(Store, "finished", lambda store, case: case == "case-1")
    text = io.StringIO()
    execute.run_study(study, plan.directory, SETTINGS, Console(file=text))
    assert ("bfloat16 trains 9 times slower than float32" in text.getvalue()) == said
