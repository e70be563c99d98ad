"""A default that changes raises its method's version: no old result is taken for a new one."""

from copy import deepcopy

from tests.defaults import changed_silently, current, kept


def test_no_default_changed_under_the_same_version() -> None:
    assert changed_silently(kept(), current()) == []


def test_the_file_holds_every_method_and_default() -> None:
    assert kept() == current(), "write tests/defaults.json anew: python -m tests.defaults"


def test_a_changed_default_is_seen_and_a_raised_version_allows_it() -> None:
    now = deepcopy(kept())
    now["robust-norm"]["options.percentile"] = 99.0
    del now["bptt"]["training.momentum"]
    now["tet"]["options.new"] = 1
    assert changed_silently(kept(), now) == [
        "robust-norm: options.percentile = 99.0, was 99.9",
        "bptt: training.momentum = None, was 0.9",
    ]
    now["robust-norm"]["version"] += 1
    assert [line.split(":")[0] for line in changed_silently(kept(), now)] == ["bptt"]
