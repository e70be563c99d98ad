"""How much is tried: a little in the normal suite, much with ISOSPIKE_STRESS=1 (`make stress`).

What was tried is counted over all processes and told at the end; docs/reliability.md has the
figures of one such run.
"""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from compare.data import DataWarning

STRESS = bool(os.environ.get("ISOSPIKE_STRESS"))
COUNTED = "counted"
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


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was tried, one line each."""
    if not STRESS or not _totals:
        return
    terminalreporter.section("tried")
    for what, count in sorted(_totals.items()):
        terminalreporter.write_line(f"{count:6,}  {what}")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Wiped before every example by `emptied`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield tmp_path / "data"
