"""The depth in the records: one number for every way of one architecture."""

import csv
import io
from pathlib import Path

from rich.console import Console

from compare.execute import Settings, run_study
from compare.study import build_study
from network.architectures import describe

MICRO = {
    "name": "depth",
    "datasets": ["mnist-5k"],
    "architectures": ["resnet9"],
    "methods": ["robust-norm", "bptt", "tdbn", "hybrid"],
    "seeds": 1,
    "timesteps": 2,
    "width": 0.03,
    "train_images": 40,
    "test_images": 10,
    "calibration_images": 10,
    "train_timesteps": [1],
    "precision": "float32",
    "sweep_precision": "float32",
    "threads": 1,
    "ann": {"epochs": 1},
    "direct": {"epochs": 1},
}


def test_every_way_of_a_residual_architecture_has_its_depth(tmp_path: Path) -> None:
    """Folded networks keep no name of a shortcut: theirs is the depth before folding."""
    study = build_study(MICRO, where="test")
    settings = Settings(None, False, "cpu", 1, "test")
    _, failures = run_study(study, tmp_path, settings, Console(file=io.StringIO()))
    assert not failures
    with (tmp_path / "records.csv").open(encoding="utf-8") as file:
        depths = {row["method"]: int(row["depth"]) for row in csv.DictReader(file)}
    assert depths == dict.fromkeys(["ann", *MICRO["methods"]], describe("resnet9").depth)
