"""A study whose sweep changes keeps its trainings: nothing is trained twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from direct import RULES
from tests.stress import runs
from tests.test_same_result import study

PLAIN = "membrane-bp"  # trains fully connected networks alone
MICRO = {
    "methods": [name for name in RULES.names() if name != PLAIN],
    "width": 0.1,
    "train_images": 60,
    "test_images": 20,
    "calibration_images": 20,
    "sweep_precision": "float32",
    "options": {"diet": {"leak": True}},
}
SHORT, LONG = 3, 5


def logs(directory: Path, method: str, timesteps: int) -> str:
    (folder,) = (
        path.parent
        for path in (directory / "cases").glob(f"*-{method}-t2-*/case.json")
        if json.loads(path.read_text())["spec"]["timesteps"] == timesteps
    )
    return (folder / "log.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [MICRO, {**MICRO, "architectures": ["mlp-300-300"], "methods": [PLAIN]}]
)
def test_a_longer_sweep_takes_what_was_trained(changes: dict[str, Any], tmp_path: Path) -> None:
    """By every rule: with the files of a study that trained for the longer sweep itself."""
    straight = study(tmp_path / "straight", **changes, timesteps=LONG)
    study(tmp_path / "twice", **changes, timesteps=SHORT)
    twice = study(tmp_path / "twice", **changes, timesteps=LONG)
    assert runs.differing({name: twice[name] for name in straight}, straight) == []
    for case in (tmp_path / "straight" / "cases").glob("*-tune-width-*"):
        found = [json.loads((p / "cases" / case.name / "case.json").read_text())["tuning"]
                 for p in (tmp_path / "straight", tmp_path / "twice")]  # fmt: skip
        assert found[0] == found[1]
        assert set(found[0]) == {"gamma", "ratio", "tolerance", "evaluations"}
    for method in changes["methods"]:
        first, then = (logs(tmp_path / "twice", method, steps) for steps in (SHORT, LONG))
        assert "epoch 1 of 1" in first
        assert "epoch 1 of 1" not in then
        assert "which differs in its sweep alone" in then


def test_another_arithmetic_takes_it_too_and_another_training_does_not(tmp_path: Path) -> None:
    few = {**MICRO, "methods": ["bptt"]}
    study(tmp_path, **few, timesteps=SHORT)
    study(tmp_path, **{**few, "sweep_precision": "int16"}, timesteps=LONG)
    assert "epoch 1 of 1" not in logs(tmp_path, "bptt", LONG)
    study(tmp_path, **few, timesteps=4, direct={"epochs": 1, "learning_rate": 1e-4})
    assert "epoch 1 of 1" in logs(tmp_path, "bptt", 4)


def test_a_damaged_training_is_not_taken(tmp_path: Path) -> None:
    few = {**MICRO, "methods": ["bptt"]}
    study(tmp_path, **few, timesteps=SHORT)
    (weights,) = (tmp_path / "cases").glob("*-bptt-*/weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-4])
    study(tmp_path, **few, timesteps=LONG)
    assert "epoch 1 of 1" in logs(tmp_path, "bptt", LONG)
