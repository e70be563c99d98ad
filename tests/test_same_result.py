"""A case's result depends on its specification alone.

Not on its place in the study, the other cases, the batch size of evaluation, the order of hashes,
or what a global generator held before. That the number of jobs and interruptions change nothing is
shown in test_compare and in stress/test_kills.
"""

import io
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from compare.execute import Settings, run_study
from compare.study import build_study
from tests.stress import runs

SHARED = {
    "name": "same",
    "datasets": ["mnist-5k"],
    "architectures": ["lenet"],
    "methods": ["robust-norm", "srp", "bptt", "rate-bp", "hybrid"],
    "seeds": 1,
    "timesteps": 6,
    "width": 0.2,
    "train_images": 200,
    "test_images": 50,
    "calibration_images": 40,
    "train_timesteps": [2],
    "precision": "float32",
    "sweep_precision": "int16",
    "threads": 1,
    "ann": {"epochs": 1},
    "direct": {"epochs": 1},
}


def study(directory: Path, **changes: object) -> dict[str, bytes]:
    """Run it in this process; what its files hold."""
    chosen = build_study({**SHARED, **changes}, where="test")
    settings = Settings(None, False, "cpu", 1, "test")
    _, failures = run_study(chosen, directory, settings, Console(file=io.StringIO()))
    assert not failures
    files = runs.files_of(directory)
    return {name: content for name, content in files.items() if name != "records.csv"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return study(tmp_path_factory.mktemp("whole"))


def test_place_and_neighbours_do_not_matter(whole: dict[str, bytes], tmp_path: Path) -> None:
    """Each alone, and in another order after other seeds and data sets of more images."""
    alone = study(tmp_path / "alone", methods=["bptt"])
    assert len({name.split("/")[0] for name in alone}) == 2
    assert runs.differing(alone, {name: whole[name] for name in alone}) == []
    turned = study(tmp_path / "turned", methods=["bptt", "robust-norm"], seeds=[4, 0])
    shared = {name: content for name, content in turned.items() if "-s0-" in name}
    assert len({name.split("/")[0] for name in shared}) == 3
    assert runs.differing(shared, {name: whole[name] for name in shared}) == []


def test_global_generators_do_not_matter(whole: dict[str, bytes], tmp_path: Path) -> None:
    torch.manual_seed(12345)
    np.random.seed(12345)  # noqa: NPY002  (the global one is what is tried)
    random.seed(12345)
    state = torch.get_rng_state()
    assert runs.differing(study(tmp_path), whole) == []
    assert torch.equal(torch.get_rng_state(), state)  # nor are they changed


@pytest.mark.parametrize("batch_size", [7, 50])
def test_the_batch_size_of_evaluation_does_not_matter(
    whole: dict[str, bytes], tmp_path: Path, batch_size: int
) -> None:
    """Byte for byte in int16 sweeps, weights and answers; the traces, in float32, to 6 digits."""
    other = study(tmp_path, batch_size=batch_size)
    odd = [name for name in runs.differing(other, whole) if not name.endswith("traces.npz")]
    assert odd == []


def test_the_batch_size_of_a_float32_sweep_moves_last_bits_at_most(tmp_path: Path) -> None:
    """Which may turn a spike: accuracy and spikes then differ a little, and it is said so."""
    one, two = (
        study(tmp_path / str(size), batch_size=size, sweep_precision="float32",
              methods=["robust-norm"])
        for size in (10, 50)
    )  # fmt: skip
    sweeps = [name for name in one if name.endswith("sweep.csv") and "robust" in name]
    for name in sweeps:
        rows = [text[name].decode().splitlines()[-1].split(",") for text in (one, two)]
        accuracies = [float(row[3]) for row in rows]
        spikes = [float(row[4]) for row in rows]
        assert accuracies[0] == pytest.approx(accuracies[1], abs=0.04)
        assert spikes[0] == pytest.approx(spikes[1], rel=0.01)
    assert sweeps


@pytest.mark.slow
def test_the_order_of_hashes_does_not_matter(whole: dict[str, bytes], tmp_path: Path) -> None:
    root = str(Path(__file__).parent.parent)
    program = (
        "import sys; from pathlib import Path; from tests.test_same_result import study; "
        "study(Path(sys.argv[1]))"
    )
    for number in ("1", "4711"):
        folder = tmp_path / number
        environment = {**os.environ, "PYTHONHASHSEED": number, "OMP_NUM_THREADS": "1"}
        subprocess.run(
            [sys.executable, "-c", program, str(folder)], cwd=root, env=environment, check=True
        )
        files = {n: c for n, c in runs.files_of(folder).items() if n != "records.csv"}
        assert runs.differing(files, whole) == []
