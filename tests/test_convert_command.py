"""`isospike convert`: networks of a study with their own settings, and what is written and said."""

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from compare import convert_command
from compare.cases import REPRESENTATIONS
from compare.convert_command import Request, convert_model, summary_lines
from compare.data import ArrayImages, Dataset
from compare.models import ModelError
from compare.prepared import View, sample
from compare.terms import Terms
from conversion import convert, quantise_activations
from network.architectures import Geometry, build

GEOMETRY = Geometry(1, 28, 28, 10)
MADE = {"width": 0.2, "batch_norm": False, "dropout": 0.25}


@pytest.fixture(autouse=True)
def noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of any data set: 40 images of noise."""
    generator = torch.Generator().manual_seed(5)
    pictures = torch.randint(256, (40, 1, 28, 28), dtype=torch.uint8, generator=generator)
    part = ArrayImages(pictures, torch.arange(40) % 10)
    data = Dataset(
        name="noise", classes=tuple("abcdefghij"), train=part, validation=part, test=part,
        official=None, note="", mean=(0.5,), std=(0.3,), augmentation="none",
    )  # fmt: skip
    monkeypatch.setattr(convert_command, "load", lambda *args, **given: data)


def weights_of_a_case(
    folder: Path, base: str = "ann", encoding: str = "constant", **options: Any
) -> Path:
    """As a study leaves them: lenet with settings of its own, and case.json."""
    network = build("lenet", GEOMETRY, seed=3, **MADE)  # type: ignore[arg-type]
    if base != "ann":
        network = quantise_activations(network, **options)
    safetensors.torch.save_file(network.state_dict(), folder / "weights.safetensors")
    spec = {"architecture": "lenet", "arm": "ann", "base": base, "options": options, **MADE}
    spec["encoding"] = encoding
    (folder / "case.json").write_text(json.dumps({"spec": spec}))
    return folder / "weights.safetensors"


def converted(weights: Path, method: str, out: Path, **options: Any) -> Path:
    return convert_model(
        Request("lenet", "noise", method, out, weights, 2, options=options, device="cpu")
    )


def test_the_network_is_built_as_its_case_says(tmp_path: Path) -> None:
    weights = weights_of_a_case(tmp_path)
    out = converted(weights, "robust-norm", tmp_path / "out", percentile=99.0)
    content = json.loads((out / "conversion.json").read_text())
    assert content["options"] == {"percentile": 99.0, "definition": "all"}
    (tmp_path / "case.json").unlink()
    with pytest.raises(ModelError, match="do not fit the network"):
        converted(weights, "robust-norm", tmp_path / "other")


def test_a_network_with_quantised_activations_is_too(tmp_path: Path) -> None:
    weights = weights_of_a_case(tmp_path, "qcfs-ann", levels=4, start=2.0)
    out = converted(weights, "qcfs", tmp_path / "out")
    assert len(json.loads((out / "conversion.json").read_text())["layers"]) > 0


def test_the_summary_counts_and_names(tmp_path: Path) -> None:
    out = converted(weights_of_a_case(tmp_path), "data-norm", tmp_path / "out")
    content = json.loads((out / "conversion.json").read_text())
    first = content["audit"]["analogue"]
    assert len(first) == 1
    neurons = len(content["layers"])
    assert summary_lines(out)[1] == (
        f"activations replaced: {neurons}, batch norms folded: 0, analogue layers: 1 ('{first[0]}')"
    )
    content["audit"]["analogue"] = []
    (out / "conversion.json").write_text(json.dumps(content))
    assert summary_lines(out)[1].endswith("analogue layers: 0")


def test_options_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'percentile'"):
        converted(tmp_path / "absent.pt", "robust-norm", tmp_path / "out", percentil=99.0)


def test_where_nothing_can_be_written_is_said_before_data_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = weights_of_a_case(tmp_path)
    monkeypatch.setattr(convert_command, "load", lambda *args, **given: pytest.fail("was read"))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory"):
        converted(weights, "data-norm", tmp_path / "file" / "out")
    with pytest.raises(ModelError, match=r"holds other files.*case\.json"):
        converted(weights, "data-norm", tmp_path)


def test_a_conversion_in_the_present_directory_and_again_but_not_over_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, out = weights_of_a_case(tmp_path), tmp_path / "out"
    out.mkdir()
    monkeypatch.chdir(out)
    for _ in range(2):
        converted(weights, "data-norm", Path())
    assert {file.name for file in out.iterdir()} == convert_command.FILES
    assert summary_lines(Path())
    (out / "notes.md").write_text("mine")
    with pytest.raises(ModelError, match=r"holds other files.*notes\.md"):
        converted(weights, "data-norm", Path())


def content_of(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "conversion.json").read_text())


def with_terms(weights: Path, out: Path, terms: Terms, method: str = "spike-norm") -> Path:
    return convert_model(
        Request("lenet", "noise", method, out, weights, 3, terms=terms, device="cpu")
    )


def test_the_encoding_is_that_of_the_weights_case_unless_another_is_asked_for(
    tmp_path: Path,
) -> None:
    weights = weights_of_a_case(tmp_path, encoding="poisson")
    own = content_of(with_terms(weights, tmp_path / "own", Terms()))
    assert (own["encoding"], own["mean"], own["std"]) == ("poisson", [0.0], [1.0])
    with pytest.warns(UserWarning, match="trained on images that are pixels, .* sees them as norm"):
        asked = content_of(with_terms(weights, tmp_path / "asked", Terms(encoding="constant")))
    assert (asked["encoding"], asked["mean"], asked["std"]) == ("constant", [0.5], [0.3])
    assert own["thresholds"] != asked["thresholds"]
    (tmp_path / "case.json").write_text("{}")  # of other weights nothing is known
    rebuilt = build("lenet", GEOMETRY, seed=3).state_dict()
    safetensors.torch.save_file(rebuilt, weights)
    signed = content_of(with_terms(weights, tmp_path / "signed", Terms("poisson-signed")))
    assert signed["std"] == [pytest.approx(0.5)]  # (p − 0.5)/0.5 lies in [−1, 1]


def test_an_encoding_that_conversions_do_not_take_is_refused(tmp_path: Path) -> None:
    weights = weights_of_a_case(tmp_path, encoding="poisson-total")
    with pytest.raises(ModelError, match="for the encoding poisson-total, which converted"):
        with_terms(weights, tmp_path / "out", Terms())
    with pytest.raises(ValueError, match=r"--encoding must be one of constant, poisson, .* rate"):
        Terms(encoding="rate")
    with pytest.raises(ValueError, match="--reset must be one of soft, hard, got none"):
        Terms(reset="none")


@pytest.mark.parametrize(
    "terms", [Terms(reset="hard"), Terms(seed=1), Terms(calibration_images=3), Terms("poisson")]
)
@pytest.mark.filterwarnings("ignore:the ANN was trained on images that are normalised")
def test_the_shell_converts_as_a_call_does(tmp_path: Path, terms: Terms) -> None:
    """Thresholds of the command are those of `convert` on the images that it says."""
    written = content_of(with_terms(weights_of_a_case(tmp_path), tmp_path / "out", terms))
    network = build("lenet", GEOMETRY, seed=3, **MADE).eval()  # type: ignore[arg-type]
    data = convert_command.load("noise", None, download=False)
    kind = REPRESENTATIONS[str(written["encoding"])]
    view = View(data.train, kind, data.mean, data.std)
    images, _ = sample(view, written["calibration_images"], terms.seed)
    assert len(images) == written["calibration_images"] == (terms.calibration_images or 40)
    alike = convert(
        network, images, method="spike-norm", encoding=written["encoding"],
        reset=terms.reset, seed=terms.seed,  # type: ignore[arg-type]
    )  # fmt: skip
    expected = {name: theta.tolist() for name, theta in alike.thresholds.items()}
    assert written["thresholds"] == expected
    assert (written["reset"], written["seed"]) == (terms.reset, terms.seed)
