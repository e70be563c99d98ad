"""The numbers that README quotes stand in the receipt that it names."""

import csv
import re
from pathlib import Path

import pytest

import reports
from reports.tables import summary
from reports.tables.cells import TRAINED

ROOT = Path(__file__).resolve().parent.parent
RECEIPTS = ROOT / "docs" / "receipts"
MNIST, CIFAR = RECEIPTS / "mnist-lenet", RECEIPTS / "vgg9-cifar10"


def quoted() -> dict[str, list[str]]:
    """Rows of README's table of results, by method."""
    text = (ROOT / "README.md").read_text("utf-8")
    _, _, table = text.partition("\n| method | T |")
    rows = {}
    for line in table.partition("\n\n")[0].splitlines()[1:]:
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if re.search(r"\d", cells[2]):
            rows[cells[0]] = cells
    return rows


def test_every_row_of_the_table_is_that_of_the_receipt() -> None:
    table = summary(reports.study(CIFAR))
    names = [column.name for column in table.columns]
    wanted = ("Method", "T", "Accuracy", "T*(1 point)", TRAINED, "Spikes per image",
              "Energy per image")  # fmt: skip
    places = [names.index(name) for name in wanted]
    rows = quoted()
    assert len(rows) == len(table.rows) == 8
    for row in table.rows:
        cells = [row[place] for place in places]
        for position, (cell, words) in enumerate(zip(cells, rows[cells[0].text], strict=True)):
            with_interval = position in (2, 3, 4)
            expected = f"{cell.text} {cell.interval}".strip() if with_interval else cell.text
            assert words == expected


def test_the_claims_of_the_first_issue_hold_in_the_receipt() -> None:
    with (MNIST / "records.csv").open(newline="") as stream:
        records = list(csv.DictReader(stream))
    accuracy = {(row["method"], int(row["timestep"])): float(row["accuracy"]) for row in records}
    assert accuracy["ann", 0] >= 0.992
    assert accuracy["bptt", 4] >= 0.990
    assert accuracy["robust-norm", 100] >= accuracy["ann", 0] - 0.002
    assert {int(row["images"]) for row in records} == {10_000}


@pytest.mark.parametrize(("receipt", "numbers_said"), [(MNIST, 7), (CIFAR, 6)])
def test_the_sentence_is_the_one_that_the_page_gives(receipt: Path, numbers_said: int) -> None:
    from reports.analysis import analyse
    from reports.answers import answers

    text = re.sub(r"[\s>`*]+", " ", (ROOT / "README.md").read_text("utf-8"))
    (answer,) = answers(analyse(reports.study(receipt)))
    details = [words for words in answer.details if "smallest estimate" not in words]
    said = " ".join([answer.headline, *details[:2]])
    numbers = re.findall(
        r"T = \d+ \[\d+, \d+\]|\d+\.\d+ %|[\d.]+ times as many|[\d.]+ [kµ]J?|T = \d+|"
        r"\d+\.\d+ points",
        said,
    )
    assert len(numbers) >= numbers_said
    for number in numbers:
        assert number in text


def test_the_figure_is_there() -> None:
    figure = CIFAR / "report" / "figures" / "accuracy-timesteps.png"
    assert f"({figure.relative_to(ROOT)})" in (ROOT / "README.md").read_text("utf-8")
    assert figure.stat().st_size > 5_000


def test_the_sentence_on_timesteps_is_that_of_its_receipt() -> None:
    study = reports.study(ROOT / "docs" / "receipts" / "timesteps-mnist5k")
    own = study.records[study.records.arm == "direct"]
    mean = 100 * own.groupby(["train_timesteps", "timestep"]).accuracy.mean()
    text = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert f"falls from {mean[2, 2]:.2f} % to {mean[2, 64]:.2f} %" in text
    assert (mean[8].loc[8:].round() == 98).all()  # "stays at 98 %"


def test_the_sentence_on_depth_is_that_of_its_receipt() -> None:
    study = reports.study(ROOT / "docs" / "receipts" / "depth-mnist5k")
    rows = study.records[study.records.timestep.isin([0, 4, 64])]
    mean = rows.groupby(["architecture", "method", "timestep"]).accuracy.mean()
    text = " ".join((ROOT / "README.md").read_text("utf-8").split())
    for architecture, method in (
        ("plain3", "fixed-width"),
        ("plain13", "fixed-width"),
        ("plain3", "tune-width"),
        ("plain13", "tune-width"),
    ):
        assert f"{100 * mean[architecture, method, 4]:.2f} %" in text
    for architecture in ("plain3", "plain5", "plain9", "plain13"):
        gap = mean[architecture, "ann", 0] - mean[architecture, "robust-norm", 64]
        assert gap <= 0.01, architecture
