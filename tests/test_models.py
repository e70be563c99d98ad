"""Networks of the user's: theirs never hide ours nor ours theirs; what does not fit is one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from compare.models import ModelError, check_network, load_function, make_network
from compare.weights import Made, load_weights, made_with
from network.architectures import Geometry

GEOMETRY = Geometry(1, 8, 8, 4)
NET = """
from torch import nn
{imports}
def net(height, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(height ** 2, 5), nn.ReLU(), nn.Linear(5, {out}))
"""


def write(path: Path, imports: str = "", out: str = "classes") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(NET.format(imports=imports, out=out))
    return path


def built(reference: str) -> nn.Module:
    return make_network(reference, GEOMETRY, width=1.0, batch_norm=True, dropout=0.0, seed=0)


@pytest.mark.parametrize("name", ["network", "conversion", "direct", "compare", "reports"])
def test_a_file_with_the_name_of_a_package_of_ours_hides_nothing(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"{name}.py")
    ours = sys.modules.get(name)
    before = list(sys.path)
    assert built(f"{path}:net")(torch.zeros(2, 1, 8, 8)).shape == (2, 4)
    assert sys.modules.get(name) is ours
    assert sys.path == before


def test_neighbours_of_a_file_are_found_and_ours_still_are(tmp_path: Path) -> None:
    (tmp_path / "parts_of_mine.py").write_text("value = 1\n")
    path = write(tmp_path / "net.py", "import parts_of_mine\nfrom network.graph import trace")
    assert built(f"{path}:net")(torch.zeros(2, 1, 8, 8)).shape == (2, 4)


@pytest.mark.parametrize("theirs", ["network.py", "reports/__init__.py"])
def test_a_neighbour_that_ours_would_hide_is_named(theirs: str, tmp_path: Path) -> None:
    (tmp_path / theirs).parent.mkdir(exist_ok=True)
    (tmp_path / theirs).write_text("x = 1\n")
    name = theirs.split(".")[0].split("/")[0]
    path = write(tmp_path / "net.py", f"from {name} import x")
    with pytest.raises(ModelError, match=f"imports '{name}', a name taken by isospike: rename"):
        load_function(f"{path}:net")


def test_a_module_that_ours_would_hide_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "network" / "mine.py")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"'network' is taken .* network/mine\.py:function"):
        load_function("network.mine:net")
    assert built("network/mine.py:net") is not None


@pytest.mark.parametrize("reference", ["pkg_of_mine.mod:net", "pkg_of_mine/mod.py:net"])
def test_what_a_module_means_by_a_name_of_ours_is_named(
    reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`import network` in it would find ours, though the user's lies where they work."""
    (tmp_path / "network.py").write_text("x = 1\n")
    write(tmp_path / "pkg_of_mine" / "mod.py", "import network")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"mod\.py imports 'network', .*: rename network in "):
        load_function(reference)


def test_the_command_runs_beside_files_of_our_names(tmp_path: Path) -> None:
    """`isospike` in a directory that holds reports/ and network.py."""
    (tmp_path / "network.py").write_text("raise SystemExit('theirs')\n")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "__init__.py").write_text("raise SystemExit('theirs')\n")
    root = str(Path(__file__).parent.parent)
    program = (
        "import sys; sys.argv = ['isospike', 'list', 'metrics']; "
        "from compare.__main__ import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("accuracy  ")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise OSError('disk')", "net fails when called: OSError: disk"),
        ("raise SystemExit(0)", r"net fails when called: it ends the program \(sys.exit\)"),
        ("return Quitting()", r"of shape \(1, 8, 8\): it ends the program \(sys.exit\)"),
        ("return 3", "must return a torch.nn.Module, got int"),
        ("return nn.Linear(3, 4)", "does not take float32 images of shape"),
        ("return nn.Flatten()", "no weights that could be trained"),
        ("return Wrong()", r"must return class scores \[B, K\], got tuple"),
        ("return Wrong.Whole()", r"as floats, got torch.int64"),
        ("return Two()", r"in training mode the network must return .* \[B, K\], got tuple"),
        ("return Raising()", "ZeroDivisionError: of mine"),
        ("return Dead(float('nan'))", "weights 1.weight .* not finite"),
        ("return Small()", "3 outputs, the data set 4 classes"),
    ],
)
def test_a_network_that_does_not_do_is_one_line(body: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(f"""
import torch
from torch import nn

class Small(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 3))

class Wrong(Small):
    def forward(self, x):
        return super().forward(x), x

class Whole(Small):
    def forward(self, x):
        return super().forward(x).long()

Wrong.Whole = Whole

class Two(Small):
    def forward(self, x):
        scores = torch.cat([super().forward(x)] * 2, 1)
        return (scores, x) if self.training else scores

class Raising(Small):
    def forward(self, x):
        raise ZeroDivisionError("of mine\\nsecond line")

class Quitting(Small):
    def forward(self, x):
        raise SystemExit(0)

class Dead(Small):
    def __init__(self, value):
        super().__init__()
        nn.init.constant_(self[1].weight, value)

def net():
    {body}
""")
    with pytest.raises(ModelError, match=words) as caught:
        built(f"{path}:net")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reference", ["quits.py:net", "quits:net"])
def test_a_file_that_ends_the_program_is_one_line(
    reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "quits.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"quits.* cannot be imported: it ends the program \("):
        load_function(reference)


def test_a_file_finds_no_command_line_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(
        tmp_path / "net.py", "import argparse\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--lr')\nparser.parse_args()",
    )  # fmt: skip
    ours = ["isospike", "compare", "--seeds", "1"]
    monkeypatch.setattr(sys, "argv", ours)
    assert built(f"{path}:net") is not None
    assert sys.argv is ours


def test_a_network_may_have_more_outputs_than_there_are_classes(tmp_path: Path) -> None:
    assert built(f"{write(tmp_path / 'net.py', out='classes + 2')}:net") is not None


def test_a_network_that_is_not_trained_is_not_asked_in_training_mode() -> None:
    class Two(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores = super().forward(x.flatten(1))
            return (scores, x) if self.training else scores

    check_network(Two(64, 4), GEOMETRY, to_train=False)


def test_checking_changes_nothing() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Dropout(), nn.Flatten(),
        nn.Linear(72, 4),
    )  # fmt: skip
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    check_network(network, GEOMETRY)
    assert network.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_weights_with_code_in_them_are_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    path = tmp_path / "weights.pt"
    torch.save({"0.weight": Evil()}, path)
    with pytest.raises(ModelError, match="hold more than tensors and are not loaded"):
        load_weights(nn.Sequential(nn.Linear(1, 1)), path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("weights.pt", b"no weights at all", "no state dictionary that torch saved, or cut off"),
        ("weights.pt", b"", "no state dictionary that torch saved, or cut off"),
        ("weights.safetensors", b"no weights at all", "not in the format safetensors, or cut off"),
        ("module", None, "hold more than tensors and are not loaded: save network.state_dict()"),
        ("list", None, "must be a state dictionary, got list"),
    ],
)
def test_a_file_without_weights_is_one_line_of_ours(
    name: str, content: bytes | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is None:
        torch.save(nn.Linear(1, 1) if name == "module" else [torch.zeros(1)], path)
    else:
        path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load_weights(nn.Sequential(nn.Linear(1, 1)), path)
    message = str(caught.value)
    assert message.startswith(f"weights {path} ")
    assert words in message
    assert "weights_only" not in message
    assert "\n" not in message


def case_beside(folder: Path, **changes: object) -> Path:
    """A weights file, and beside it what a study says of its case."""
    spec = {
        "arm": "ann", "architecture": "lenet", "base": "ann", "width": 0.5, "batch_norm": False,
        "dropout": 0.25, "options": {}, **changes,
    }  # fmt: skip
    (folder / "case.json").write_text(json.dumps({"spec": spec}))
    return folder / "weights.safetensors"


def test_weights_of_a_case_say_how_its_network_was_made(tmp_path: Path) -> None:
    weights = case_beside(tmp_path)
    assert made_with(weights, "lenet") == Made(0.5, False, 0.25)
    with pytest.raises(ModelError, match="are of the architecture lenet, got vgg9"):
        made_with(weights, "vgg9")
    assert made_with(weights, "net.py:net") == Made(0.5, False, 0.25)
    case_beside(tmp_path, encoding="poisson")
    assert made_with(weights, "lenet") == Made(0.5, False, 0.25, encoding="poisson")
    case_beside(tmp_path, base="qcfs-ann", options={"levels": 4})
    assert made_with(weights, "lenet") == Made(0.5, False, 0.25, {"levels": 4})
    case_beside(tmp_path, arm="direct", base="bptt")
    with pytest.raises(ModelError, match=r"a spiking network \(direct, bptt\): give those of the"):
        made_with(weights, "lenet")


@pytest.mark.parametrize("text", [None, "{", "[]", '{"spec": 3}', '{"spec": {"width": "wide"}}'])
def test_what_lies_beside_weights_need_not_be_a_case(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "case.json").write_text(text)
    assert made_with(tmp_path / "weights.pt", "lenet") == Made()
