"""Files that are not what their cases wrote are named on the page and in the terminal."""

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest

import reports
from compare.store import Store
from reports.analysis import analyse
from reports.caveats import caveats
from reports.written import changed, in_words
from tests.synthetic_study import write_study

RECEIPTS = Path(__file__).resolve().parent.parent / "docs" / "receipts"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A made-up study with checksums, as compare.store writes them."""
    made_up = write_study(tmp_path / "made", methods=("data-norm", "bptt"), seeds=2, extras=True)
    store = Store(tmp_path / "study")
    store.prepare()
    for case in sorted((made_up / "cases").iterdir()):
        facts = json.loads((case / "case.json").read_text())
        with store.writing(case.name, facts) as partial:
            for file in case.iterdir():
                if file.name != "case.json":
                    (partial / file.name).write_bytes(file.read_bytes())
            (partial / "weights.safetensors").write_text("weights")
    for file in ("records.csv", "study.toml"):
        (store.directory / file).write_bytes((made_up / file).read_bytes())
    return store.directory


def test_what_was_written_is_not_named(directory: Path) -> None:
    study = reports.study(directory)
    assert changed(study) == ()
    assert not any(line.startswith("Not what was") for line in caveats(analyse(study)))


@pytest.mark.parametrize("change", ["a digit", "cut off", "case.json", "correct.npz", "records"])
def test_what_was_changed_is_named(directory: Path, change: str) -> None:
    case = directory / "cases" / "bptt-lenet-0-T8"
    file = case / {"case.json": "case.json", "correct.npz": "correct.npz"}.get(change, "layers.csv")
    if change == "records":
        file = directory / "records.csv"
        records = pd.read_csv(file)
        place = records.index[records["case"] == case.name][0]
        records.loc[place, "correct"] += 1
        records.to_csv(file, index=False)
        pd.DataFrame(
            records[records["case"] == case.name][["timestep", "images"]].assign(correct=0)
        ).to_csv(case / "sweep.csv", index=False)
    elif change == "case.json":
        file.write_text(file.read_text().replace('"data-norm"', '"x"').replace("bptt", "bttp", 1))
    else:
        raw = file.read_bytes()
        file.write_bytes(raw[:-7] if change == "cut off" else raw[:-3] + b"7" + raw[-2:])
    named = changed(reports.study(directory))
    assert named == (str(file.relative_to(directory)),)


def test_weights_and_files_that_are_gone_are_not_meant(directory: Path) -> None:
    """No report reads weights, and it does without what is not there."""
    case = directory / "cases" / "bptt-lenet-0-T8"
    (case / "weights.safetensors").write_text("others")
    (case / "layers.csv").unlink()
    assert changed(reports.study(directory)) == ()


def test_a_few_are_named_and_the_rest_counted() -> None:
    assert in_words([]) == ""
    assert in_words(["a", "b"]) == "Not what was written: a, b."
    assert in_words(list("abcde")) == "Not what was written: a, b, c and 2 more."


@pytest.mark.parametrize(
    "receipt", sorted(path.parent.name for path in RECEIPTS.glob("*/records.csv"))
)
def test_receipts_are_what_was_written(receipt: str) -> None:
    assert changed(reports.study(RECEIPTS / receipt)) == ()


def test_a_report_says_it_first(directory: Path) -> None:
    file = directory / "cases" / "bptt-lenet-0-T8" / "layers.csv"
    file.write_text(file.read_text() + "\n")
    assert (
        hashlib.sha256(file.read_bytes()).hexdigest() not in file.with_name("case.json").read_text()
    )
    first = caveats(analyse(reports.study(directory)))[0]
    assert first == "Not what was written: cases/bptt-lenet-0-T8/layers.csv."
