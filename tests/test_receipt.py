"""A receipt is a study cut small: its records, its cases, and nothing of the machine."""

import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from compare.execute import Settings, run_study
from compare.receipt import main, without_places
from compare.store import DamagedCase, Store
from compare.study import build_study
from reports.frame import load
from reports.written import changed

COMMAND = "isospike compare /home/somebody/mine.toml --data '/my data' --out=/scratch/run --jobs 1"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = build_study(
        {
            "name": "mine",
            "architectures": ["mlp-8"],
            "methods": ["robust-norm"],
            "seeds": 1,
            "timesteps": 4,
            "train_images": 200,
            "test_images": 50,
            "calibration_images": 40,
            "threads": 1,
            "ann": {"epochs": 1},
        },
        where="test",
    )
    directory = tmp_path_factory.mktemp("run")
    settings = Settings(None, False, "cpu", 1, COMMAND)
    _, failures = run_study(study, directory, settings, Console(file=io.StringIO()))
    assert not failures
    return directory


@pytest.mark.parametrize(
    ("command", "cut"),
    [
        (COMMAND, "isospike compare mine.toml --data DIR --jobs 1"),
        ("isospike compare --data=/d --out /o x.toml", "isospike compare --data DIR x.toml"),
        ("isospike compare a.toml --methods data-norm,qcfs", None),
        ("isospike compare --architecture 'my nets.py:net'", None),
    ],
)
def test_a_command_names_no_directories(command: str, cut: str | None) -> None:
    assert without_places(command) == (cut or command)


def test_a_receipt_is_the_study_without_weights_and_machine(run: Path, tmp_path: Path) -> None:
    receipt = tmp_path / "kept"
    assert main([str(run), str(receipt), "--figures", "energy"]) == 0
    ours, theirs = load(receipt), load(run)
    assert set(ours.records.study) == {"kept"}
    columns = [name for name in theirs.records.columns if name != "study"]
    pd.testing.assert_frame_equal(ours.records[columns], theirs.records[columns])
    assert (receipt / "study.toml").read_text().startswith('name = "kept"\ntitle')
    assert changed(ours) == ()
    for case in Store(run).cases.iterdir():
        content = Store(receipt).read(case.name)
        assert content["study"] == "kept"
        assert content["machine"]["precision_probe"].startswith("a training step of the first")
        names = {file.name for file in case.iterdir()} - {"weights.safetensors", "traces.npz"}
        assert {file.name for file in (receipt / "cases" / case.name).iterdir()} == names
    report = receipt / "report"
    assert [file.name for file in (report / "figures").iterdir()] == ["energy.png"]
    assert {"summary.csv", "summary.md"} <= {file.name for file in (report / "tables").iterdir()}
    assert sorted(path.name for path in receipt.iterdir()) == [
        "cases", "records.csv", "report", "study.toml",
    ]  # fmt: skip
    log = next(receipt.glob("cases/*/log.txt")).read_text("utf-8")
    assert "(a training step of the first network took " in log
    for file in receipt.rglob("*"):
        if file.suffix in (".json", ".txt", ".csv", ".md", ".toml"):
            text = file.read_text("utf-8")
            assert not any(word in text for word in ("somebody", "my data", "scratch"))


def test_what_a_receipt_shows_is_drawn_again_and_nothing_else(run: Path, tmp_path: Path) -> None:
    receipt = tmp_path / "kept"
    assert main([str(run), str(receipt)]) == 0
    (receipt / "README.md").write_text("what it shows\n")
    tables = receipt / "report" / "tables"
    expected = (tables / "summary.md").read_text("utf-8")
    for file in tables.iterdir():
        if file.name == "summary.md":
            file.write_text("old\n")
        else:
            file.unlink()
    assert main(["--again", str(receipt)]) == 0
    assert (tables / "summary.md").read_text("utf-8") == expected
    assert [file.name for file in tables.iterdir()] == ["summary.md"]
    assert (receipt / "README.md").read_text() == "what it shows\n"
    assert main([str(run), str(receipt)]) == 0, "cut once more, its cases stay"


def test_what_cannot_be_cut_is_said_in_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt = tmp_path / "kept"
    for arguments, message in (
        ([str(run)], "two directories, RUN and RECEIPT; got 1"),
        ([str(tmp_path), str(receipt)], "holds no study with records"),
        ([str(run), str(receipt), "--figures", "enrgy"], "no figure is called enrgy; there are"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
        assert not receipt.exists()
    (receipt / "cases" / "another").mkdir(parents=True)
    assert main([str(run), str(receipt)]) == 2
    assert "has cases that" in capsys.readouterr().err


def test_a_case_that_was_changed_is_not_cut(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (file,) = copy.glob("cases/*robust-norm*/sweep.csv")
    file.write_text(file.read_text().replace("50", "49"))
    assert main([str(copy), str(tmp_path / "kept")]) == 2
    with pytest.raises(DamagedCase, match="sweep"):
        Store(copy).read(file.parent.name)
    assert json.loads((file.parent / "case.json").read_text())["case"] == file.parent.name
