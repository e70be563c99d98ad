"""A network trained elsewhere is converted as it comes, beside one that is trained here."""

import io
import json
from pathlib import Path

import pytest
import safetensors.torch
from rich.console import Console

from compare.execute import Settings, run_study
from compare.fingerprint import _of_network
from compare.study import Study, StudyError, build_study
from reports.analysis import analyse
from reports.caveats import caveats
from reports.frame import load

SOURCE = """
from pathlib import Path

from torch import nn

VALUE = Path(__file__).with_name("value")


def net(channels, num_classes, pretrained):
    made = nn.Sequential(
        nn.Conv2d(channels, 2, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(128, num_classes)
    )
    if pretrained:
        for parameter in made.parameters():
            nn.init.constant_(parameter, float(VALUE.read_text()))
    return made
"""


def study_of(directory: Path, **changes: object) -> Study:
    (directory / "net.py").write_text(SOURCE)
    (directory / "value").write_text("0.125")
    settings = {
        "name": "mine",
        "architectures": [f"{directory / 'net.py'}:net"],
        "methods": ["robust-norm", "bptt"],
        "seeds": 2,
        "timesteps": 2,
        "train_timesteps": [2],
        "train_images": 100,
        "test_images": 40,
        "calibration_images": 20,
        "precision": "float32",
        "threads": 1,
        "ann": {"epochs": 0},
        "direct": {"epochs": 1},
    }
    return build_study({**settings, **changes}, where="test")


def run(study: Study, directory: Path) -> None:
    settings = Settings(None, False, "cpu", 1, "test")
    _, failures = run_study(study, directory, settings, Console(file=io.StringIO()))
    assert not failures


def test_a_network_as_it_comes_is_converted_and_another_one_trained_directly(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    run(study_of(tmp_path), out)
    cases = {
        path.name: json.loads((path / "case.json").read_text()) for path in out.glob("cases/*")
    }
    assert len(cases) == 6
    for name, case in cases.items():
        weights = safetensors.torch.load_file(out / "cases" / name / "weights.safetensors")
        came = all(bool((w == 0.125).all()) for w in weights.values() if w.ndim > 1)
        assert came == (case["spec"]["arm"] != "direct")
        if case["spec"]["arm"] == "ann":
            assert case["notes"] == [
                "not trained here: the network has the weights that it comes with"
            ]
            assert case["selection"] is None
            assert "train" not in case["elapsed_s"]
            assert (out / "cases" / name / "history.csv").read_text().count("\n") == 1
    text = (out / "study.toml").read_text()
    assert "# ann, training: epochs = 0\n" in text
    analysis = analyse(load(out))
    (said,) = [s for s in caveats(analysis) if "was not trained here" in s]
    assert "net.py:net" in said


def test_other_weights_are_another_case(tmp_path: Path) -> None:
    """The same file, function and study; the weights that it reads are others."""
    study = study_of(tmp_path, methods=["robust-norm"], seeds=1)
    names = []
    for value in ("0.125", "0.25"):
        (tmp_path / "value").write_text(value)
        _of_network.cache_clear()
        out = tmp_path / f"out-{value}"
        run(study, out)
        names.append({path.name for path in out.glob("cases/*")})
    assert len(names[0]) == len(names[1]) == 2
    assert not names[0] & names[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["lenet"]}, r"networks of your own \(file\.py:function\), got lenet"),
        ({"methods": ["bptt", "srp"]}, "srp: its ANN is trained with quantised activations"),
        ({"ann": {"epochs": 0, "learning_rate": 0.1}}, "learning_rate has an effect with 1 epoch"),
        ({"direct": {"epochs": 0}}, "epochs: Input should be greater than or equal to 1"),
    ],
)
def test_what_cannot_be_taken_as_it_comes_is_refused(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match=message):
        run(study_of(tmp_path, **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()
