"""The table of a receipt's README is that of its records."""

import re
from pathlib import Path

import pandas as pd
import pytest

import reports
from compare.cases import expand
from compare.method_facts import method_facts
from compare.options import check_options
from compare.study import load_study
from compare.without_effect import check_settings

ROOT = Path(__file__).resolve().parent.parent
RECEIPT = ROOT / "docs" / "receipts" / "conversion-mnist"
CIFAR = ROOT / "docs" / "receipts" / "conversion-cifar10"
STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def first_within(accuracy: "pd.Series[float]", reference: float, delta: float) -> int | None:
    """The smallest T from which no accuracy is lower than reference − delta."""
    below = accuracy.index[accuracy < reference - delta - 1e-12]
    first = 1 if below.empty else int(below.max()) + 1
    return first if first <= accuracy.index.max() else None


def test_the_table_of_all_conversions_is_that_of_the_records() -> None:
    records = reports.load(RECEIPT)
    by_method = {name: rows.set_index("timestep") for name, rows in records.groupby("method")}
    text = (RECEIPT / "README.md").read_text("utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    assert {row[0].strip("`") for row in rows} == set(by_method) - {"ann", "qcfs-ann"}
    assert len(rows) == 13
    for name, *cells in rows:
        method = by_method[name.strip("`")]
        assert set(method.images) == {10_000}
        for step, cell in zip(STEPS, cells, strict=False):
            assert cell == f"{100 * method.accuracy[step]:.2f}"
        own = name.strip("`") in ("qcfs", "srp", "offset")
        reference = by_method["qcfs-ann" if own else "ann"].accuracy.iloc[0]
        first = first_within(method.accuracy, reference, 0.005)
        observed = int(method.calibration_timesteps.iloc[0])
        if first is None:
            assert cells[-2:] == ["not reached", "–"]
        else:
            assert cells[-2] == (f"{first} + {observed}" if observed else f"{first}")
            assert cells[-1] == f"{method.spikes_per_image[first]:,.0f}"


@pytest.mark.parametrize("architecture", ["vgg9", "resnet9"])
def test_the_tables_on_cifar10_are_those_of_the_records(architecture: str) -> None:
    records = reports.load(CIFAR)
    records = records[records.architecture == architecture]
    by_method = {name: rows.set_index("timestep") for name, rows in records.groupby("method")}
    text = (CIFAR / "README.md").read_text("utf-8").split(f"### `{architecture}`")[1]
    heading, *lines = text.split("\n\nWhat")[0].split("\n### ")[0].splitlines()
    anns = [by_method[name].accuracy.iloc[0] for name in ("ann", "qcfs-ann")]
    assert re.findall(r"\d+\.\d+", heading) == [f"{100 * accuracy:.2f}" for accuracy in anns]
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
    assert {row[0].strip("`") for row in rows} == set(by_method) - {"ann", "qcfs-ann"}
    for name, *cells in rows:
        method = by_method[name.strip("`")]
        assert set(method.images) == {2_000}
        assert cells[:9] == [f"{100 * method.accuracy[step]:.2f}" for step in STEPS]
        reference = anns[name.strip("`") in ("qcfs", "srp", "offset")]
        observed = int(method.calibration_timesteps.iloc[0])
        found = [first_within(method.accuracy, reference, delta) for delta in (0.005, 0.01)]
        with_steps = [
            "not reached" if first is None else f"{first} + {observed}" if observed else f"{first}"
            for first in found
        ]
        assert cells[9:11] == with_steps
        spikes = "–" if found[1] is None else f"{method.spikes_per_image[found[1]]:,.0f}"
        assert cells[11] == spikes


def test_what_was_asked_of_the_conversions_on_cifar10_holds() -> None:
    """Calibrated or quantisation-aware conversion within 1 point of its ANN from T ≤ 16 on."""
    records = reports.load(CIFAR)
    for _, rows in records.groupby("architecture"):
        accuracy = rows[rows.method == "qcfs"].set_index("timestep").accuracy
        ann = rows[rows.method == "qcfs-ann"].accuracy.iloc[0]
        first = first_within(accuracy, ann, 0.01)
        assert first is not None
        assert first <= 16


def test_the_sentence_on_conversions_in_the_readme_is_that_of_the_records() -> None:
    text = " ".join((ROOT / "README.md").read_text("utf-8").split())
    start = "stays within half a point of the ANN is, for seven of them:"
    sentence = text.split(start)[1].split(";")[0]
    said = {name: int(first) for name, first in re.findall(r"`([a-z-]+)` (\d+)", sentence)}
    assert len(said) == 6
    records = reports.load(RECEIPT)
    ann = records[records.method == "ann"].accuracy.iloc[0]
    for name, first in said.items():
        accuracy = records[records.method == name].set_index("timestep").accuracy
        assert first_within(accuracy, ann, 0.005) == first
    lost = records[records.method == "model-norm"].set_index("timestep").accuracy
    assert first_within(lost, ann, 0.005) is None


def test_the_widths_found_balance_and_the_others_do_not() -> None:
    """Ratios of the halves, from the gradients of every layer (Ledinauskas 2020, section 2.5)."""
    receipt = ROOT / "docs" / "receipts" / "ledinauskas2020-figure3"
    text = (receipt / "README.md").read_text("utf-8")
    written = pd.read_csv(receipt / "ratios.csv").set_index(["architecture", "gamma"]).ratio
    for architecture in ("plain9", "resnet18"):
        ratios: dict[float, float] = {}
        searched: dict[float, float] = {}
        for file in receipt.glob(f"cases/*{architecture}*/gradients.csv"):
            for gamma, rows in pd.read_csv(file).groupby("value"):
                gradients = rows.sort_values("index").gradient.tolist()
                half = len(gradients) // 2
                first, second = gradients[:half], gradients[half:]
                ratio = (sum(first) / half) / (sum(second) / len(second))
                ratios[float(gamma)] = ratio
                if "tune-width" in str(file):
                    searched[float(gamma)] = ratio
                assert written[architecture, round(float(gamma), 6)] == pytest.approx(ratio, 1e-5)
        assert ratios[1.0] > 10
        assert ratios[100.0] < 1e-3
        found = min(searched, key=lambda gamma: abs(searched[gamma] - 1))
        assert abs(searched[found] - 1) < 0.1
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {architecture}")]
        cells = row.strip("| ").split(" | ")[1:]
        assert cells == [
            *(f"{ratios[gamma]:.3g}" for gamma in (1.0, 10.0, 100.0)),
            f"{found:.2f}",
            f"{searched[found]:.3f}",
            f"{len(searched)}",
        ]


def test_qcfs_on_mnist_is_within_half_a_point_by_its_number_of_levels() -> None:
    receipt = ROOT / "docs" / "receipts" / "qcfs-mnist"
    records = reports.load(receipt)
    rows = records[records.method == "qcfs"].set_index("timestep")
    ann = records[records.method == "qcfs-ann"].accuracy.iloc[0]
    first = first_within(rows.accuracy, ann, 0.005)
    assert first is not None
    assert first <= 8
    text = (receipt / "README.md").read_text("utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("| `qcfs`")]
    cells = line.strip("| ").split(" | ")[1:]
    accuracies = [f"{100 * rows.accuracy[step]:.2f}" for step in STEPS]
    assert cells == [*accuracies, f"{first}", f"{rows.spikes_per_image[first]:,.0f}"]


@pytest.mark.parametrize(
    ("name", "method"), [("lee2016-mnist", "lee2016"), ("lee2020-lenet", "lee2020")]
)
def test_the_table_of_a_preset_on_mnist_is_that_of_the_records(name: str, method: str) -> None:
    receipt = ROOT / "docs" / "receipts" / name
    records = reports.load(receipt)
    rows = records[records.method == method].set_index("timestep")
    assert set(rows.images) == {10_000}
    lines = (receipt / "README.md").read_text("utf-8").splitlines()
    heading, _, *body = [line for line in lines if line.startswith("|")]
    steps = [int(step) for step in re.findall(r"T = (\d+)", heading)]
    accuracy, spikes = (line.strip("| ").split(" | ")[1:] for line in body)
    assert accuracy == [f"{100 * rows.accuracy[step]:.2f}" for step in steps]
    assert spikes == [f"{rows.spikes_per_image[step]:,.0f}" for step in steps]


def test_the_accuracies_on_a_part_of_nmnist_are_those_of_the_records() -> None:
    receipt = ROOT / "docs" / "receipts" / "lee2016-nmnist"
    last = reports.load(receipt).groupby("method").last()
    assert set(last.images) == {100}
    quoted = re.findall(r"(\d+\.\d\d) %", (receipt / "README.md").read_text("utf-8"))
    accuracies = [f"{100 * last.accuracy[name]:.2f}" for name in ("lee2016-events", "ann")]
    assert quoted[:2] == accuracies
    assert round(last.spikes_per_image["lee2016-events"]) == 277


@pytest.mark.parametrize(
    "file", sorted((ROOT / "docs" / "receipts").glob("*/*.toml")), ids=lambda file: file.parent.name
)
def test_the_command_of_a_receipt_is_still_understood(file: Path) -> None:
    study = load_study(file)
    facts = method_facts(sorted({study.base_method(name) for name in study.every("methods")}))
    cases = expand(study, facts, sweep_precision="float32")
    check_options(cases)
    check_settings(study, cases)
    assert cases


@pytest.mark.parametrize("name", ["cifar10-ways", "hybrid-cifar10"])
def test_the_table_of_ways_at_few_steps_is_that_of_the_records(name: str) -> None:
    receipt = ROOT / "docs" / "receipts" / name
    records = reports.load(receipt)
    assert set(records.images) == {10_000}
    lines = (receipt / "README.md").read_text("utf-8").splitlines()
    heading, _, *body = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    steps = [int(step) for step in re.findall(r"\| T = (\d+)", " | ".join(["", *heading]))]
    spiking = set(records.method[records.arm != "ann"])
    assert {cells[0].strip("`") for cells in body} == spiking
    for method, *cells in body:
        rows = records[records.method == method.strip("`")].set_index("timestep")
        accuracies = [f"{100 * rows.accuracy[step]:.2f}" for step in steps]
        assert cells == [*accuracies, f"{rows.spikes_per_image[4]:,.0f}"]


def test_the_table_of_ways_on_mnist_is_the_mean_of_three_seeds() -> None:
    receipt = ROOT / "docs" / "receipts" / "mnist-ways"
    records = reports.load(receipt)
    assert set(records.seed) == {0, 1, 2}
    mean = records.groupby(["method", "timestep"])[["accuracy", "spikes_per_image"]].mean()
    lines = (receipt / "README.md").read_text("utf-8").splitlines()
    heading, _, *body = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    steps = [int(cell.removeprefix("T = ")) for cell in heading if cell.startswith("T = ")]
    assert {cells[0].strip("`") for cells in body} == set(records.method[records.arm != "ann"])
    for method, *cells in body:
        rows = mean.loc[method.strip("`")]
        accuracies = [f"{100 * rows.accuracy[step]:.2f}" for step in steps]
        assert cells == [*accuracies, f"{rows.spikes_per_image[4]:,.0f}"]
