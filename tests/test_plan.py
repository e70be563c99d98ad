"""A study is resolved by a short probe, whatever its batch size and however few its images are."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

from compare import machine, plan
from compare.data import ArrayImages
from compare.plan import Plan, multiplications, resolve
from compare.study import Study
from compare.study_tables import Variant
from direct import PRESETS
from network.graph import UnsupportedNetwork, trace
from network.wiring import wiring
from tests.test_half_a_batch import made_up
from tests.test_halfway import CPU

STUDY = Study(name="s", architectures=("mlp-8",))


@pytest.mark.parametrize(("images", "batch_size"), [(120, 1), (1, 100)])
def test_the_probe_has_images_enough_for_batch_norm(images: int, batch_size: int) -> None:
    data = made_up()
    data = replace(data, train=ArrayImages(*data.train.batch(torch.arange(images))))
    study = Study(name="s", architectures=("mlp-8",), batch_size=batch_size, threads=1)
    resolved = resolve(study, None, {"mnist-5k": data}, CPU)
    assert resolved.precision in ("float32", "bfloat16")


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.79, "bfloat16"), (0.81, "float32"), (2.0, "float32")]
)
def test_bfloat16_is_taken_where_it_saves_a_fifth(
    seconds: float, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"float32": 1.0, "bfloat16": seconds}
    monkeypatch.setattr(machine, "probe_precision", lambda *given: found)
    study = STUDY.model_copy(update={"threads": 1})
    resolved = resolve(study, None, {"mnist-5k": made_up()}, CPU)
    assert resolved.precision == expected
    said = f"took 1e+03 ms in float32, {1e3 * seconds:.3g} ms in bfloat16"
    assert resolved.probe == f"a training step of the first network {said}"
    monkeypatch.setattr(machine, "probe_precision", lambda *given: pytest.fail("probed again"))
    for asked, probe in (("auto", resolved.probe), (expected, resolved.probe)):
        again = study.model_copy(update={"precision": asked})
        assert resolve(again, resolved, {}, CPU).probe == probe, "a study that goes on"
    other = {"float32": "bfloat16", "bfloat16": "float32"}[expected]
    asked_for = study.model_copy(update={"precision": other})
    assert resolve(asked_for, resolved, {}, CPU).probe == ""


@pytest.mark.parametrize(("operations", "threads"), [(19_999_999, 1), (20_000_000, 6)])
def test_a_small_network_gets_one_thread_and_a_large_one_every_core(
    operations: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "multiplications", lambda *given: operations)
    monkeypatch.setattr(plan.os, "cpu_count", lambda: 6)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    study = STUDY.model_copy(update={"precision": "float32"})
    assert resolve(study, None, {"mnist-5k": made_up()}, CPU).threads == threads


def test_threads_that_are_asked_for_go_before_those_of_an_earlier_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan, "_first_network", lambda *given: pytest.fail("made a network"))
    earlier = STUDY.model_copy(update={"precision": "float32", "threads": 3})
    for asked, threads in ((None, 3), (2, 2)):
        study = STUDY.model_copy(update={"threads": asked})
        assert resolve(study, earlier, {}, CPU).threads == threads


def test_what_a_preset_lacks_from_its_paper_is_said_once_in_the_resolved_study() -> None:
    variants = {"longer": Variant(method="zheng2021")}
    given = {"precision": "float32", "threads": 1, "differences": ("one seed",)}
    study = STUDY.model_copy(update={**given, "methods": ("bptt", "longer"), "variants": variants})
    found = resolve(study, None, {}, CPU)
    assert found.differences[0] == "one seed"
    assert PRESETS.get("zheng2021").chosen_here in found.differences[1]
    assert len(found.differences) == 2
    assert resolve(found, None, {}, CPU).differences == found.differences


def test_a_network_that_cannot_be_counted_is_counted_by_torch() -> None:
    """Two operations of torch are one multiplication: 4·3."""

    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(torch.matmul(x, self.weight))

    with pytest.raises(UnsupportedNetwork):
        wiring(trace(Product().eval()), (4,))
    assert multiplications(Product(), (4,)) == 12
    assert multiplications(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), (4,)) == 12


def test_a_conversion_is_told_its_own_ann() -> None:
    study = Study(name="s", architectures=("mlp-8",), methods=("data-norm", "qcfs"), seeds=2)
    study = study.model_copy(update={"threads": 1, "precision": "float32"})
    data = {"mnist-5k": made_up()}
    found = plan.make_plan(resolve(study, None, data, CPU), Path("unused"), data)
    assert isinstance(found, Plan)
    for index, case in enumerate(found.cases):
        name = found.ann_of(index)
        assert (name is None) == (case.ann is None)
        if case.ann is not None:
            assert name == found.names[found.cases.index(case.ann)]
            kind = "qcfs-ann" if case.method == "qcfs" else "ann"
            assert (case.ann.method, case.ann.seed) == (kind, case.seed)


class Timed:
    """Stands in for a timed step of a probe: so many seconds an image."""

    counts: ClassVar[list[int]] = []
    seconds: ClassVar[dict[str, float]] = {}

    def __init__(self, network: nn.Module, images: torch.Tensor, precision: str) -> None:
        self.counts.append(len(images))
        self.said = len(images) * self.seconds[precision]

    def run(self) -> float:
        return self.said


@pytest.mark.parametrize(
    ("float32", "bfloat16", "counts"),
    [
        (0.01, 0.2, [2]),  # twenty times slower: no more images are needed
        (0.001, 0.0008, [2, 8, 32, 64]),  # all of them in a short time
        (0.02, 0.015, [2, 8]),  # after 2 + 8 images, twice each, 0.7 s are spent
        (0.0001, 0.0009, [2, 8, 32]),  # 1.8 ms of 2 images say little, 29 ms of 32 enough
    ],
)
def test_a_probe_takes_as_many_images_as_a_short_time_allows(
    float32: float, bfloat16: float, counts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Timed, "counts", [])
    monkeypatch.setattr(Timed, "seconds", {"float32": float32, "bfloat16": bfloat16})
    monkeypatch.setattr(machine, "_Step", Timed)
    found = machine.probe_precision(nn.Linear(1, 1), torch.zeros(64, 1))
    assert Timed.counts[::2] == counts
    assert found["bfloat16"] / found["float32"] == pytest.approx(bfloat16 / float32)
