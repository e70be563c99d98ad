"""What a case is known by beside its specification: the data, and a network of the user's own."""

from dataclasses import replace
from pathlib import Path

import pytest

from compare.cases import Case
from compare.data import Dataset
from compare.fingerprint import fingerprint
from tests.test_half_a_batch import ann_case, made_up

NET = """
import torch
from torch import nn

def mine(channels, classes):
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, stride={stride}, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(4, classes),
    )
"""


def known(folder: Path, name: str, code: str, **changes: object) -> str:
    """The fingerprint of a case whose network is in a file with this code."""
    file = folder / f"{name}.py"
    file.write_text(code)
    case: Case = replace(ann_case(), architecture=f"{file}:mine", **changes)  # type: ignore[arg-type]
    return fingerprint(case, made_up())


def test_a_registered_architecture_is_known_by_its_name() -> None:
    data: Dataset = made_up()
    assert fingerprint(ann_case(), data) == data.fingerprint


def test_a_users_network_is_known_by_what_it_computes(tmp_path: Path) -> None:
    code = NET.format(stride=1)
    first = known(tmp_path, "first", code)
    assert first != made_up().fingerprint
    assert known(tmp_path, "elsewhere", "# moved\n" + code) == first
    assert known(tmp_path, "strided", NET.format(stride=2)) != first  # the same shapes of weights
    assert known(tmp_path, "tanh", code.replace("nn.ReLU", "nn.ReLU6")) != first
    assert known(tmp_path, "again", code, seed=1) != first  # other first weights
    loaded = code.replace("    return", "    torch.manual_seed(7)\n    return")
    assert known(tmp_path, "pretrained", loaded) != first


def test_weights_that_are_drawn_anew_each_time_do_not_count(tmp_path: Path) -> None:
    code = NET.format(stride=1).replace("    return", "    torch.seed()\n    return")
    assert known(tmp_path, "one", code) == known(tmp_path, "two", code)


@pytest.mark.parametrize("code", ["mine = None", "def mine():\n    raise KeyError('x')", "exit()"])
def test_a_network_that_cannot_be_built_is_said_by_its_case(tmp_path: Path, code: str) -> None:
    assert known(tmp_path, "broken", code) == known(tmp_path, "again", code)
