"""Several processes that share a training: the weights of one process with the same batches."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from compare import ranks
from compare.__main__ import main
from network.over_batch import mean_over_batch, numbers_over_batch, variance_over_batch
from network.team import Team, WholeBatch
from tests.team_training import ANNS, RULE_NAMES, UNUSED, train
from tests.test_compare import isospike

ROOT = Path(__file__).parent.parent


def last_words(error: str) -> list[str]:
    """What isospike itself wrote, without torchrun's own report."""
    return [line for line in error.splitlines() if line.startswith("isospike: ")]


def torchrun(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Two processes, of one thread each."""
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of every training by two processes."""
    folder = tmp_path_factory.mktemp("team")
    result = torchrun("-m", "tests.team_training", str(folder))
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ANNS, UNUSED, *RULE_NAMES])
def test_two_processes_train_as_one_does(shared: Path, name: str) -> None:
    ours = torch.load(shared / f"{name}.pt", weights_only=True)
    theirs = train(name, None)
    assert ours["together"], "the processes' weights differ"
    close = 2e-2 if name == "ann-bfloat16" else 1e-5
    assert list(ours["weights"]) == list(theirs["weights"])
    for key, tensor in theirs["weights"].items():
        torch.testing.assert_close(ours["weights"][key], tensor, rtol=close, atol=close, msg=key)
    for mine, other in zip(ours["history"], theirs["history"], strict=True):
        assert mine == pytest.approx(other, abs=close)


def test_shares_cover_the_batch_in_order() -> None:
    shares = [Team(rank, 3).share(11) for rank in range(3)]
    assert shares == [slice(0, 4), slice(4, 8), slice(8, 11)]
    with pytest.raises(ValueError, match="3 processes cannot share a batch of 2 images"):
        Team(0, 3).share(2)


def test_one_process_has_the_plain_means() -> None:
    x = torch.arange(24.0).view(4, 3, 2)
    assert torch.equal(mean_over_batch(x, (0, 2)), x.mean((0, 2)))
    assert torch.equal(variance_over_batch(x, (0, 2)), x.var((0, 2), unbiased=False))
    assert numbers_over_batch(x, (0, 2)) == 8  # 4·2
    with WholeBatch(5, slice(0, 2)):  # two steps of 2 of 5 images
        assert numbers_over_batch(x, (0, 2)) == 20  # 2·5·2


def test_rows_of_dropout_are_those_of_the_whole_mask() -> None:
    torch.manual_seed(0)
    whole = F.dropout(torch.ones(6, 5), 0.4, True)
    torch.manual_seed(0)
    with WholeBatch(6, slice(2, 4)):
        part = F.dropout(torch.ones(2, 5), 0.4, True)
    assert torch.equal(part, whole[2:4])


def test_alpha_dropout_is_refused() -> None:
    with pytest.raises(ValueError, match="alpha dropout"), WholeBatch(4, slice(0, 2)):
        F.alpha_dropout(torch.ones(2, 5), 0.4, True)


STUDY = """
name = "joint"
datasets = ["mnist-5k"]
architectures = ["lenet"]
methods = ["robust-norm", "bptt", "hybrid"]
seeds = 1
timesteps = 3
width = 0.2
train_images = 120
test_images = 40
calibration_images = 40
train_timesteps = [2]
precision = "float32"
threads = 1

[ann]
epochs = 1
batch_size = 40
optimiser = "sgd"  # Adam turns a gradient's last bits into steps of full length where it is near 0

[direct]
epochs = 1
batch_size = {batch_size}
"""


def weights_of(study: Path, method: str) -> dict[str, torch.Tensor]:
    (case,) = (study / "cases").glob(f"*-{method}-*")
    return safetensors.torch.load_file(case / "weights.safetensors")


@pytest.mark.slow
def test_torchrun_runs_a_study_as_one(tmp_path: Path) -> None:
    """The ANN of two processes is that of one; the first process alone converts, sweeps, writes."""
    (tmp_path / "joint.toml").write_text(STUDY.format(batch_size=40))
    result = torchrun("-m", "compare", "compare", "joint.toml", "--out", "two", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "two/report/index.html"
    assert "Traceback" not in result.stderr
    alone = isospike(
        "compare", "joint.toml", "--methods", "robust-norm", "--out", "one", cwd=tmp_path
    )
    assert alone.returncode == 0, alone.stderr
    ours, theirs = (weights_of(tmp_path / name, "ann") for name in ("two", "one"))
    for key, tensor in theirs.items():
        torch.testing.assert_close(ours[key], tensor, rtol=1e-4, atol=1e-4, msg=key)
    processes = {
        facts["spec"]["method"]: facts["machine"]["processes"]
        for path in (tmp_path / "two" / "cases").glob("*/case.json")
        for facts in [json.loads(path.read_text())]
    }
    assert processes == {"ann": 2, "bptt": 2, "hybrid": 2, "robust-norm": 1}


@pytest.mark.slow
def test_what_cannot_be_shared_is_one_line_and_the_rest_is_done(tmp_path: Path) -> None:
    """Batches of one image, and two processes."""
    (tmp_path / "joint.toml").write_text(STUDY.format(batch_size=1))
    result = torchrun(
        "-m", "compare", "compare", "joint.toml", "--methods", "bptt,robust-norm", "--out", "two",
        folder=tmp_path,
    )  # fmt: skip
    assert result.returncode != 0
    (line,) = last_words(result.stderr)
    assert "1 of 3 cases failed" in line, result.stderr
    assert "2 processes cannot share a batch of 1 images" in line
    assert len(list((tmp_path / "two" / "cases").glob("*/case.json"))) == 2


@pytest.mark.slow
def test_bad_input_is_said_once(tmp_path: Path) -> None:
    result = torchrun("-m", "compare", "compare", "--methods", "robust-nrm", folder=tmp_path)
    (line,) = last_words(result.stderr)
    assert "'robust-nrm'" in line
    result = torchrun("-m", "compare", "compare", "--jobs", "2", folder=tmp_path)
    (line,) = last_words(result.stderr)
    assert "leave out --jobs and --cluster" in line


def test_a_process_that_fails_before_the_first_lets_it_say_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """torchrun would end the first one, which would say that it was interrupted."""
    waited: list[float] = []
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(ranks.time, "sleep", waited.append)
    monkeypatch.setattr(ranks.os, "_exit", sys.exit)
    monkeypatch.setattr(sys, "argv", ["isospike", "compare", "--methods", "robust-nrm"])
    for rank, expected in (("1", [ranks.FIRST_SPEAKS_WITHIN_S]), ("0", [])):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", rank)
        waited.clear()
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert waited == expected
        assert ("'robust-nrm'" in capsys.readouterr().err) == (rank == "0")
    signal.signal(signal.SIGTERM, handler)


def test_a_process_that_is_done_is_not_taken_down(tmp_path: Path) -> None:
    """An abort while the interpreter is taken down would have torchrun end the first one."""
    code = "import atexit, os; atexit.register(os.abort); from compare.__main__ import main; main()"
    alone = {**os.environ, "WORLD_SIZE": "1", "RANK": "0"}
    for environment, ended in (
        ({**alone, "WORLD_SIZE": "2", "RANK": "1"}, 0),
        (alone, -signal.SIGABRT),
    ):
        result = subprocess.run(
            [sys.executable, "-c", code, "studies"],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == ended, result.stderr
        assert "first-look" in result.stdout
