"""One micro study end to end: files, contract, resume, jobs, interruption, damage."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compare.store import RECORD_COLUMNS
from tests import summary_by_hand

MICRO = """
name = "micro"
datasets = ["mnist-5k"]
architectures = ["lenet"]
methods = ["robust-norm", "srp", "bptt"]
seeds = 2
timesteps = 5
width = 0.2
train_images = 300
test_images = 60
calibration_images = 50
train_timesteps = [2]
precision = "float32"
sweep_precision = "int16"

[ann]
epochs = 2

[direct]
epochs = 1
"""
# per seed: ann and qcfs-ann with one row each, three spiking networks with T = 1 … 5
ROWS = 2 * (1 + 1 + 3 * 5)


def isospike(*arguments: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-m", "compare", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


def records(directory: Path) -> list[dict[str, str]]:
    return table(directory / "records.csv")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def finished_cases(cases: Path) -> int:
    """Those in their place: one that is being written has a name that begins with a dot."""
    return sum(not path.parent.name.startswith(".") for path in cases.glob("*/case.json"))


@pytest.fixture(scope="module")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished micro study."""
    folder = tmp_path_factory.mktemp("micro")
    (folder / "micro.toml").write_text(MICRO)
    result = isospike("compare", "micro.toml", "--jobs", "1", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "runs/micro/report/index.html"
    assert "cases done" in result.stderr
    return folder / "runs" / "micro"


def test_every_file_of_the_contract_is_there(micro: Path) -> None:
    for name in ("study.toml", "records.csv", "report/index.html", "progress.json"):
        assert (micro / name).is_file(), name
    assert list((micro / "report" / "figures").glob("*.svg"))
    assert list((micro / "report" / "tables").glob("*.tex"))
    cases = list((micro / "cases").iterdir())
    assert len(cases) == 10
    for case in cases:
        names = {path.name for path in case.iterdir()}
        assert names >= {
            "case.json", "weights.safetensors", "history.csv", "sweep.csv", "layers.csv",
            "correct.npz", "log.txt",
        }  # fmt: skip
    assert not list((micro / "work").glob("*/checkpoint.pt"))
    progress = json.loads((micro / "progress.json").read_text())
    assert (progress["share"], progress["state"], progress["failures"]) == (1.0, "finished", {})


def test_the_log_of_a_case_says_what_ran(micro: Path) -> None:
    log = next((micro / "cases").glob("*bptt*")) / "log.txt"
    said = [line.split(" ", 1)[1] for line in log.read_text().splitlines()]
    assert said[0].startswith("begun by process")
    assert said[0].endswith("isospike compare micro.toml --jobs 1")
    assert said[1].startswith("data mnist-5k, fingerprint ")
    assert said[2].startswith("epoch 1 of 1: loss ")
    assert said[3].startswith("swept 60 images (int16: ")
    assert said[-1] == "finished"


def test_records_keep_the_contract(micro: Path) -> None:
    rows = records(micro)
    assert tuple(rows[0]) == RECORD_COLUMNS
    assert len(rows) == ROWS
    for row in rows:
        assert float(row["accuracy"]) == int(row["correct"]) / int(row["images"])
        assert row["depth"] == "4"
        if row["arm"] == "ann":
            assert row["timestep"] == "0"
            assert row["spikes_per_image"] == row["ac_per_image"] == row["train_timesteps"] == ""
            assert float(row["mac_per_image"]) > 0
        else:
            assert 1 <= int(row["timestep"]) <= 5
            assert float(row["energy_pj_per_image"]) == pytest.approx(
                0.9 * float(row["ac_per_image"]) + 4.6 * float(row["mac_per_image"])
            )
        assert row["calibration_timesteps"] == ("4" if row["method"] == "srp" else "0")
        assert row["train_timesteps"] == ("2" if row["arm"] == "direct" else "")


def test_counts_only_grow_with_time_and_layers_add_up(micro: Path) -> None:
    case = next(path for path in (micro / "cases").iterdir() if "robust-norm" in path.name)
    sweep = table(case / "sweep.csv")
    layers = table(case / "layers.csv")
    for before, after in pairwise(sweep):
        assert float(after["spikes_per_image"]) >= float(before["spikes_per_image"])
        assert float(after["mac_per_image"]) == float(before["mac_per_image"])  # first layer once
    for row in sweep:
        mine = [layer for layer in layers if layer["timestep"] == row["timestep"]]
        for measure in ("spikes_per_image", "ac_per_image", "mac_per_image"):
            total = sum(float(layer[measure]) for layer in mine if layer[measure])
            assert total == pytest.approx(float(row[measure])), measure


def test_correct_npz_gives_the_accuracies_of_the_sweep(micro: Path) -> None:
    for case in (micro / "cases").iterdir():
        with np.load(case / "correct.npz") as content:
            rows = table(case / "sweep.csv")
            assert content["timesteps"].tolist() == [int(row["timestep"]) for row in rows]
            np.testing.assert_array_equal(
                content["correct"], content["predicted"] == content["labels"]
            )
            assert content["correct"].sum(1).tolist() == [int(row["correct"]) for row in rows]


@pytest.mark.parametrize("label", summary_by_hand.METHODS)
def test_every_number_of_the_summary_by_another_path(micro: Path, label: str) -> None:
    summary_by_hand.check(micro, label)


def test_spiking_cases_keep_their_traces(micro: Path) -> None:
    for case in (micro / "cases").iterdir():
        facts = json.loads((case / "case.json").read_text())
        spiking = facts["spec"]["arm"] != "ann"
        assert ("traces.npz" in facts["checksums"]) == (case / "traces.npz").is_file() == spiking


def test_the_same_command_runs_nothing_again(micro: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in micro.glob("cases/*/*")}
    text = (micro / "records.csv").read_text()
    result = isospike("compare", "micro.toml", cwd=micro.parent.parent)
    assert result.returncode == 0, result.stderr
    assert {path: path.stat().st_mtime_ns for path in micro.glob("cases/*/*")} == before
    assert (micro / "records.csv").read_text() == text


def test_a_cut_off_study_goes_on_and_ends_the_same(micro: Path, tmp_path: Path) -> None:
    """SIGINT in the middle, then the same command with two jobs: the same records."""
    (tmp_path / "micro.toml").write_text(MICRO)
    command = [sys.executable, "-m", "compare", "compare", "micro.toml"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "--jobs", "1"],
        cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    cases = tmp_path / "runs" / "micro" / "cases"
    deadline = time.monotonic() + 120
    while not finished_cases(cases) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "the same command goes on" in error
    assert "Traceback" not in error
    assert 0 < finished_cases(cases) < 10
    result = isospike("compare", "micro.toml", "--jobs", "2", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    ours, theirs = (tmp_path / "runs" / "micro" / "records.csv"), micro / "records.csv"
    assert ours.read_text() == theirs.read_text()


def test_a_study_may_hold_no_image_out(tmp_path: Path) -> None:
    """Validation is left out, and training has every image."""
    text = MICRO.replace("seeds = 2", "seeds = 1").replace(', "srp", "bptt"', "")
    text = text.replace("train_images = 300", "train_images = 300\nvalidation_images = 0")
    text = text.replace("train_timesteps = [2]\n", "").replace("[direct]\nepochs = 1\n", "")
    (tmp_path / "micro.toml").write_text(text)
    result = isospike("compare", "micro.toml", "--jobs", "1", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    case = next((tmp_path / "runs" / "micro" / "cases").glob("*-ann-*"))
    assert [row["validation_accuracy"] for row in table(case / "history.csv")] == ["", ""]
    assert "300 training, 0 validation, 60 test images" in (case / "log.txt").read_text()


def test_a_damaged_case_is_named_in_one_line(micro: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(micro.parent.parent, tmp_path / "copy")
    case = next((tmp_path / "copy" / "runs" / "micro" / "cases").glob("*bptt*"))
    (case / "sweep.csv").write_text("timestep\n")
    result = isospike("compare", "micro.toml", cwd=tmp_path / "copy")
    assert result.returncode == 2
    assert "sweep.csv differs from what was written" in result.stderr.splitlines()[-1]


def test_a_report_rebuilds_from_records_alone(micro: Path, tmp_path: Path) -> None:
    result = isospike("report", str(micro), "--out", str(tmp_path / "page"), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    page = tmp_path / "page" / "index.html"
    assert result.stdout.splitlines()[-1] == str(page)
    assert "robust-norm" in page.read_text()
