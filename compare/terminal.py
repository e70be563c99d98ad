"""Tables on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from reports.answers import Answer
from reports.tables.cells import Cell, Table

ESSENTIAL = ("Network", "Method", "T", "Accuracy", "T*(1 point)", "Spikes per image")
WIDER = (*ESSENTIAL, "SNN − ANN", "Energy per image")
WIDE = 110  # columns of a terminal from which more columns are shown
WIDEST = 160  # and from which every interval is, and rows of many columns are one line
LONGEST = 24  # letters of a name that are always shown
PLAIN = 130  # columns where it is not a terminal
FEW_COLUMNS = 3  # of plain rows, that fit any terminal
ANSWERS = 3  # that are told with all that qualifies them
NOTES = 2  # of a table, on the terminal; the page has them all


def tell(answers: Sequence[Answer]) -> None:
    """Print the answer for every network, with what qualifies it for the first ones; a sentence is
    a line where it is not a terminal."""
    console = _console()
    for place, answer in enumerate(answers):
        lines = [f"{answer.network}: {answer.headline}"]
        lines += [f"  - {detail}" for detail in answer.details if place < ANSWERS]
        if not console.is_terminal:
            console.file.write("".join(f"{line}\n" for line in lines))
            continue
        console.print(Text(lines[0], style="bold"))
        for line in lines[1:]:
            console.print(Padding(Text(f"- {line[4:]}"), (0, 0, 0, 2)))
    console.print()


def show(table: Table) -> None:
    """Print a table of the report, one line per row; n is said once where it is the same."""
    console = _console()
    wide = console.width >= WIDE
    several = len({row[0].text for row in table.rows}) > 1
    names = WIDER if wide else ESSENTIAL
    chosen = [
        i
        for i, column in enumerate(table.columns)
        if column.name in names and (several or column.name != "Network")
    ]
    spread = [i for i in chosen if _with_interval(table, i, console.width)]
    counts = Counter(row[i].n for row in table.rows for i in spread if row[i].n)
    usual = counts.most_common(1)[0][0] if counts else ""
    grid = Grid(header_style="bold", pad_edge=False, box=None, padding=(0, 2, 0, 0))
    for i in chosen:
        column = table.columns[i]
        left = column.name in ("Network", "Method")
        longest = max(len(row[i].text) for row in table.rows)
        heading = f"{column.name} %" if column.unit == "%" else column.name
        grid.add_column(
            heading,
            justify="left" if left else "right",
            no_wrap=column.name != "Network",  # folded first where the terminal is narrow
            min_width=min(LONGEST, longest) if column.name == "Method" else None,
        )
    for row in table.rows:
        grid.add_row(*(_text(row[i], i in spread, usual) for i in chosen))
    console.print(grid)
    said = [f"n = {usual} unless said; 95 % intervals in brackets."] if usual else []
    for note in [*said, *table.notes[:NOTES]]:
        console.print(note, style="dim", markup=False, highlight=False)


def show_rows(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print plain rows under headings, each with its name first.

    Whole, one per line, where it is not a terminal; where it is too narrow for many columns, a
    name with what follows it indented below.
    """
    console = Console()
    if not console.is_terminal:
        for row in rows:
            console.file.write("  ".join(cell for cell in row if cell) + "\n")
        return
    if len(headings) > FEW_COLUMNS and console.width < WIDEST:
        for name, *rest in rows:
            console.print(Text(name, style="bold"))
            below = Text("; ".join(cell for cell in rest if cell not in ("", "–")))
            console.print(Padding(below, (0, 0, 0, 4)))
        console.print(Text(f"Of each: {'; '.join(headings[1:])}.", style="dim"))
        return
    grid = Grid(header_style="bold", pad_edge=False, box=None, padding=(0, 2, 0, 0))
    for i, heading in enumerate(headings):
        grid.add_column(heading, overflow="fold", no_wrap=i == 0)
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    console.print(grid)


def _console() -> Console:
    """The standard output; of a width of its own where it is no terminal."""
    console = Console()
    if not console.is_terminal:
        console.width = PLAIN
    return console


def _with_interval(table: Table, column: int, width: int) -> bool:
    return width >= WIDEST or table.columns[column].name == "Accuracy"


def _text(cell: Cell, with_interval: bool, usual: str) -> Text:
    words = Text(cell.text, style="bold" if cell.strong else "")
    if cell.interval and with_interval:
        words.append(f" {cell.interval}", style="dim")
    if cell.n not in ("", usual) and with_interval:
        words.append(f" (n = {cell.n})", style="dim")
    return words
