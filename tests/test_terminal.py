"""Rows on a terminal of any width, and where it is none."""

import io
import subprocess
import sys
from functools import partial

import pytest
from rich.console import Console

from compare import terminal
from compare.study import builtin_studies, load_study
from reports.answers import Answer

HEADINGS = ("study", "what it shows", "data", "source", "time")
ROWS = [
    ("a-study-with-a-long-name", "what it shows " * 4, "cifar10", "–", "3 h"),
    ("other", "something", "mnist", "a paper", "5 min"),
]


def shown(monkeypatch: pytest.MonkeyPatch, width: int, *, on_terminal: bool = True) -> list[str]:
    out = io.StringIO()
    console = partial(Console, file=out, force_terminal=on_terminal, color_system=None, width=width)
    monkeypatch.setattr(terminal, "Console", console)
    terminal.show_rows(HEADINGS, ROWS)
    return [line.rstrip() for line in out.getvalue().splitlines()]


ANSWERS = [Answer(f"net{place}", "A headline " * 20, ("detail " * 30,)) for place in range(5)]


@pytest.mark.parametrize("on_terminal", [True, False])
def test_answers_come_before_tables_and_later_ones_without_details(
    monkeypatch: pytest.MonkeyPatch, on_terminal: bool
) -> None:
    out = io.StringIO()
    console = partial(Console, file=out, force_terminal=on_terminal, color_system=None, width=60)
    monkeypatch.setattr(terminal, "Console", console)
    terminal.tell(ANSWERS)
    lines = out.getvalue().splitlines()
    assert sum(line.startswith("net") for line in lines) == 5
    assert sum(line.startswith("  - detail") for line in lines) == terminal.ANSWERS == 3
    if not on_terminal:
        assert len(lines) == 5 + 3 + 1  # a sentence each, and an empty line
    else:
        assert max(map(len, lines)) <= 60


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_narrow_terminal_has_every_name_whole_and_the_rest_below_it(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    lines = shown(monkeypatch, width)
    assert max(map(len, lines)) <= width
    assert [line for line in lines if line and not line.startswith(" ")][:2] == [
        "a-study-with-a-long-name",
        "other",
    ]
    assert "    something; mnist; a paper; 5 min" in lines
    below = " ".join(line.strip() for line in lines[1 : lines.index("other")])
    assert below == "what it shows " * 4 + "; cifar10; 3 h"  # no dash for what is not there


def test_a_wide_terminal_has_one_line_per_row_under_headings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = shown(monkeypatch, 200)
    assert lines[0].split() == ["study", "what", "it", "shows", "data", "source", "time"]
    assert len(lines) == 3
    assert lines[2].split() == ["other", "something", "mnist", "a", "paper", "5", "min"]


def test_where_it_is_no_terminal_a_row_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, 80, on_terminal=False)
    assert lines == ["  ".join(row) for row in ROWS]


def test_studies_say_what_they_show_and_need_and_how_long_they_take() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "compare", "studies"], capture_output=True, text=True, check=True
    )
    lines = result.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == builtin_studies()
    for line in lines:
        name, title, data, _, times = line.split("  ")
        study = load_study(name)
        assert (title, data.split(", ")) == (study.title, list(study.every("datasets")))
        assert times.count(" · ") == 1
