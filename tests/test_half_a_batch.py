"""Half a batch, where memory does not suffice for a whole one: the same result, and it is said."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor

from compare import convert_command
from compare.case_context import CaseContext, Workplace
from compare.cases import Case
from compare.data import ArrayImages, Dataset
from compare.prepared import View
from compare.progress import Progress
from compare.store import Store
from compare.sweep import accuracy_of
from compare.terms import Terms
from conversion import convert
from network.fit import Outcome
from network.recipe import Recipe
from tests import small_networks
from tests.test_halfway import CPU, Pictures, short_of_memory


def test_an_accuracy_with_half_a_batch_is_the_same_and_said() -> None:
    ann, halved = small_networks.network("plain").eval(), list[int]()

    def classify(images: Tensor, indices: Tensor) -> Tensor:
        return ann(images)

    accuracy = accuracy_of(classify, Pictures(short_of_memory(4)), 8, halved.append)
    assert halved == [4]
    assert accuracy == accuracy_of(classify, Pictures(), 8, halved.append)
    assert halved == [4]


def made_up() -> Dataset:
    """Noise: 120 images of each part in 5 classes."""
    generator = torch.Generator().manual_seed(11)
    pictures = torch.randint(
        256, (120, *small_networks.SHAPE), dtype=torch.uint8, generator=generator
    )
    part = ArrayImages(pictures, torch.arange(120) % 5)
    return Dataset(
        name="noise", classes=tuple("abcde"), train=part, validation=part, test=part,
        official=None, note="", mean=(0.5,) * 3, std=(0.3,) * 3, augmentation="none",
    )  # fmt: skip


def ann_case(**given: Any) -> Case:
    """The training of an ANN on that noise."""
    return Case(
        dataset="noise", architecture="", method="ann", base="ann", arm="ann", seed=0, timesteps=0,
        train_timesteps=None, encoding="constant", batch_norm=True, width=1.0, dropout=0.0,
        augmentation=None, validation_images=None, train_images=None, test_images=None,
        calibration_images=None, precision="float32", sweep_precision="float32", threads=1, **given,
    )  # fmt: skip


def test_the_log_says_that_validation_halved_its_batch(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.work("a").mkdir(parents=True)
    context = CaseContext(
        ann_case(), "a", None, Workplace(store, "s", {"noise": made_up()}, CPU, 100, "test")
    )
    network = small_networks.network("plain")

    def objective(images: Tensor, labels: Tensor, keys: Tensor) -> Outcome:
        scores = network(images)
        return Outcome(F.cross_entropy(scores, labels), scores)

    def classify(images: Tensor, indices: Tensor) -> Tensor:
        short_of_memory(50)(indices)
        return network(images)

    context.fit(network, objective, Recipe(epochs=2), classify, 3.0)
    log = (store.work("a") / "log.txt").read_text()
    assert log.count("memory did not suffice for 100 images at once: went on with 50") == 2
    assert log.count("epoch ") == 2


def test_convert_says_that_it_halved_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for the ANN's accuracy, once for the sweep."""
    ann, said = small_networks.network("plain").eval(), io.StringIO()
    converted = convert(ann, small_networks.images(32), method="robust-norm")
    terms = Terms("constant")
    request = convert_command.Request(
        "net.py:ann", "noise", "robust-norm", Path(), timesteps=2, terms=terms
    )
    batch = View.batch

    def short(self: View, indices: Tensor) -> tuple[Tensor, Tensor]:
        short_of_memory(50)(indices)
        return batch(self, indices)

    monkeypatch.setattr(View, "batch", short)
    with Progress(360, 1, Console(file=said)) as progress:
        convert_command._swept(request, ann, converted, made_up(), CPU, progress)
    lines = said.getvalue().splitlines()
    assert lines.count("memory did not suffice for 100 images at once: went on with 50") == 2
    assert progress.done == 360
