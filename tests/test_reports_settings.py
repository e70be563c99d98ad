"""Networks of one architecture that are not held against each other's ANN."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from reports.frame import Case, Study
from reports.settings import settings


def study(**cases: dict[str, Any]) -> Study:
    """Cases by name: fields of the specification, with `data` and `ann_case` beside them."""
    found = {}
    for name, given in cases.items():
        spec = {"dataset": "mnist", "architecture": "lenet", "width": 1.0, "batch_norm": True,
                "dropout": 0.0, "encoding": "constant", "training": {}, **given}  # fmt: skip
        data = {"fingerprint": "abcdef0", "train_images": 100, "test_images": 50}
        facts = {
            "spec": spec,
            "dataset": data | spec.pop("data", {}),
            "ann_case": spec.pop("ann_case", None),
        }
        found[name] = Case(name, Path(), facts)
    return cast(Study, SimpleNamespace(cases=found))


def test_one_ann_is_held_against_all() -> None:
    found = settings(
        study(
            a={"method": "ann"},
            c={"method": "robust-norm", "ann_case": "a"},
            q={"method": "qcfs-ann"},
            p={"method": "qcfs", "ann_case": "q"},
            d={"method": "bptt", "batch_norm": False, "training": {"epochs": 3}},
        )
    )
    assert set(found.values()) == {""}


def test_seeds_of_an_ann_are_one_network() -> None:
    found = settings(study(a={"method": "ann", "seed": 0}, b={"method": "ann", "seed": 1}))
    assert set(found.values()) == {""}


def test_what_was_made_from_another_ann_is_held_against_that() -> None:
    found = settings(
        study(
            a={"method": "ann"},
            b={"method": "ann", "dropout": 0.5},
            c={"method": "robust-norm", "ann_case": "a"},
            d={"method": "dropped", "ann_case": "b", "dropout": 0.5},
            e={"method": "bptt", "dropout": 0.5},
        )
    )
    assert found == {
        "a": "dropout 0.0", "c": "dropout 0.0",
        "b": "dropout 0.5", "d": "dropout 0.5", "e": "dropout 0.5",
    }  # fmt: skip


def test_other_widths_and_other_images_are_other_networks() -> None:
    other = {"fingerprint": "0123456", "train_images": 100, "test_images": 20}
    found = settings(
        study(
            a={"method": "ann"},
            w={"method": "ann", "width": 0.5},
            v={"method": "bptt", "width": 0.5},
            t={"method": "bptt", "data": other},
        )
    )
    assert found == {
        "a": "50 test images, width 1.0", "w": "50 test images, width 0.5",
        "v": "50 test images, width 0.5", "t": "20 test images, width 1.0",
    }  # fmt: skip


def test_other_arrays_of_the_same_size_are_told_apart() -> None:
    found = settings(
        study(a={"method": "ann"}, b={"method": "ann", "data": {"fingerprint": "0123456789"}})
    )
    assert found == {"a": "data abcdef", "b": "data 012345"}


def test_epochs_of_the_ann_tell_networks_apart() -> None:
    found = settings(
        study(
            a={"method": "ann", "training": {"epochs": 1}},
            b={"method": "ann", "training": {"epochs": 30}},
            c={"method": "robust-norm", "ann_case": "b"},
        )
    )
    assert found == {"a": "epochs 1", "b": "epochs 30", "c": "epochs 30"}


def test_other_depths_of_a_family_say_the_same_of_themselves() -> None:
    deep = {"method": "ann", "architecture": "vgg9"}
    found = settings(
        study(
            a={"method": "ann", "architecture": "vgg5", "width": 0.5},
            b={**deep, "width": 0.5},
            c={**deep, "width": 1.0},
            d={"method": "ann"},
        )
    )
    assert found == {"a": "width 0.5", "b": "width 0.5", "c": "width 1.0", "d": ""}


def test_depths_that_were_trained_differently_are_one_family_still() -> None:
    found = settings(
        study(
            a={"method": "ann", "architecture": "vgg5", "training": {"epochs": 5}},
            b={"method": "ann", "architecture": "vgg9", "training": {"epochs": 9}},
        )
    )
    assert set(found.values()) == {""}
