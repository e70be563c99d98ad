"""`isospike convert`, killed between any two changes of files: all of its files or none."""

import json
import random
import signal
from pathlib import Path

import pytest

from tests.stress import runs
from tests.stress.conftest import Tally, only_stress
from tests.stress.test_faults import write_arrays

KILLS = 10
NETWORK = """
from torch import nn

def net(channels, height, width, classes):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(channels * height * width, 8), nn.ReLU(), nn.Linear(8, classes)
    )
"""


@pytest.mark.slow
@only_stress
def test_a_conversion_that_is_killed(tmp_path: Path, tally: Tally) -> None:
    """The earlier conversion is there, or the new one, or none; the same command then works."""
    (tmp_path / "net.py").write_text(NETWORK)
    dataset = write_arrays(tmp_path / "own.npz")
    out = tmp_path / "out"

    def command(timesteps: int) -> tuple[str, ...]:
        words = ("convert", "net.py:net", "--dataset", dataset, "--method", "data-norm")
        return (*words, "--timesteps", str(timesteps), "--out", "out")

    assert runs.run(tmp_path, *command(1)).returncode == 0
    names = {file.name for file in out.iterdir()}
    chance = random.Random()
    killed = 0
    for number in range(2, 4 * KILLS):
        process = runs.start(tmp_path, *command(number), kill_at=chance.randrange(1, 15))
        code = process.wait()
        assert code in (0, -signal.SIGKILL), process.error.read_text()
        if out.exists():
            assert {file.name for file in out.iterdir()} == names
            found = json.loads((out / "conversion.json").read_text())["timesteps"]
            assert found == number or code
            assert len((out / "sweep.csv").read_text().splitlines()) == 1 + found
        else:
            assert code
            assert list(tmp_path.glob(".out.*.earlier"))
        if code:
            killed += 1
            tally("kills survived")
            tally("kills survived: isospike convert")
        if killed == KILLS:
            break
    assert killed == KILLS
    assert runs.run(tmp_path, *command(1)).returncode == 0
    assert {file.name for file in out.iterdir()} == names
