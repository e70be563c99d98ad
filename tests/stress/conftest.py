"""How much is tried: a little in the normal suite, much with ISOSPIKE_STRESS=1.

What was tried is counted over all processes and told at the end; docs/reliability.md has the
figures of one such run. With ISOSPIKE_STRESS=whole (`make stress`) a run that has tried less than
PROMISED fails, for whatever reason.
"""

import math
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from PIL import Image

from compare.data import DataWarning

STRESS = bool(os.environ.get("ISOSPIKE_STRESS"))
COUNTED = "counted"
PROMISED = {
    r"kills survived": 50,
    r"kills survived: training": 5,
    r"kills survived: conversion": 5,
    r"kills survived: sweep": 5,
    r"kills survived: writing": 5,
    r"kills survived: report": 5,
    r".* fuzzed": 10_000,
    r".* fuzzed, used": 2_000,
    r"faults tried: .*": 15,
}
"""So much at least of all that has such a name."""
only_stress = pytest.mark.skipif(not STRESS, reason="takes minutes: make stress")

Tally = Callable[[str], None]
_totals: Counter[str] = Counter()


def fuzz(few: int, many: int) -> settings:
    """As many examples of a property: the same few in the normal suite, others in every stress."""
    return settings(
        max_examples=many if STRESS else few,
        derandomize=not STRESS,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def mostly(usual: Sequence[Any], odd: Sequence[Any]) -> st.SearchStrategy[Any]:
    """Five of six are usual: where all is odd, the first oddity alone is ever tried."""
    return st.sampled_from([*usual] * math.ceil(5 * len(odd) / len(usual)) + [*odd])


def check_line(error: Exception) -> None:
    """What is refused is refused in one line that says something, and not a page."""
    message = str(error)
    assert message.strip(), type(error)
    assert "\n" not in message, message
    assert len(message) < 3000, message


@pytest.fixture
def tally(record_property: Callable[[str, Any], None]) -> Any:
    """tally(what) counts one thing that was tried, e.g. 'study files fuzzed'."""
    counts: Counter[str] = Counter()

    def count(what: str) -> None:
        counts[what] += 1

    yield count
    record_property(COUNTED, dict(counts))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Runs where the results of all processes arrive."""
    if report.when == "teardown":
        for name, counts in report.user_properties:
            if name == COUNTED:
                _totals.update(counts)


def too_few(totals: Counter[str]) -> list[str]:
    """What was tried less often than is promised, in words."""
    counts = {
        name: sum(count for what, count in totals.items() if re.fullmatch(name, what))
        for name in PROMISED
    }
    return [
        f"{name}: {counts[name]:,} of {least:,}"
        for name, least in PROMISED.items()
        if counts[name] < least
    ]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In the process where the results of all arrive."""
    if os.environ.get("ISOSPIKE_STRESS") == "whole" and not hasattr(session.config, "workerinput"):
        session.exitstatus = session.exitstatus or int(bool(too_few(_totals)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was tried, one line each; and what was tried too seldom."""
    if not STRESS or not _totals:
        return
    terminalreporter.section("tried")
    for what, count in sorted(_totals.items()):
        terminalreporter.write_line(f"{count:6,}  {what}")
    for line in too_few(_totals) if os.environ["ISOSPIKE_STRESS"] == "whole" else ():
        terminalreporter.write_line(f"less than promised: {line}", red=True)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Wiped before every example by `emptied`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield tmp_path / "data"
