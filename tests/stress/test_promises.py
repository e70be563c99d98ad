"""A stress run that tried less than is promised is found out."""

from collections import Counter

from tests.stress.conftest import PROMISED, too_few


def test_what_was_tried_too_seldom_is_said() -> None:
    enough = Counter(
        {
            "kills survived": 50,
            **{name: least for name, least in PROMISED.items() if name.startswith("kills")},
            "study files fuzzed": 6_000,
            "networks fuzzed": 4_000,
            "networks fuzzed, used": 2_000,
            "faults tried: disk full": 3,
            "faults tried: data missing": 12,
        }
    )
    assert too_few(enough) == []
    assert too_few(enough - Counter({"networks fuzzed": 1})) == [".* fuzzed: 9,999 of 10,000"]
    without = enough - Counter({"kills survived: conversion": 5})
    assert too_few(without) == ["kills survived: conversion: 0 of 5"]
    assert len(too_few(Counter())) == len(PROMISED)
