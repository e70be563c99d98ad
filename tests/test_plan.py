"""A study is resolved by a short probe, whatever its batch size and however few its images are."""

from dataclasses import replace

import pytest
import torch

from compare.data import ArrayImages
from compare.plan import resolve
from compare.study import Study
from tests.test_half_a_batch import made_up
from tests.test_halfway import CPU


@pytest.mark.parametrize(("images", "batch_size"), [(120, 1), (1, 100)])
def test_the_probe_has_images_enough_for_batch_norm(images: int, batch_size: int) -> None:
    data = made_up()
    data = replace(data, train=ArrayImages(*data.train.batch(torch.arange(images))))
    study = Study(name="s", architectures=("mlp-8",), batch_size=batch_size, threads=1)
    resolved = resolve(study, None, {"mnist-5k": data}, CPU)
    assert resolved.precision in ("float32", "bfloat16")
