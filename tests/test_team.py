"""Several processes that share a training: the weights of one process with the same batches."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from network.over_batch import mean_over_batch, variance_over_batch
from network.team import Team, WholeBatch
from tests.team_training import ANNS, RULE_NAMES, UNUSED, train

ROOT = Path(__file__).parent.parent


def torchrun(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Two processes, of one thread each."""
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
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
