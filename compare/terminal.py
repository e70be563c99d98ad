"""Tables on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from reports.tables.cells import Cell, Column, Table

ESSENTIAL = ("Network", "Method", "T", "Accuracy", "SNN − ANN", "T*(1 point)", "Spikes per image")
NARROW = 130  # columns of a terminal below which the essential columns are shown


def show(table: Table) -> None:
    """Print a table of the report: every number with its interval and n."""
    console = Console(soft_wrap=False)
    columns = list(enumerate(table.columns))
    if console.width < NARROW:
        columns = [(i, c) for i, c in columns if c.name in ESSENTIAL]
    several = len({row[0].text for row in table.rows}) > 1
    columns = [(i, c) for i, c in columns if several or c.name != "Network"]
    grid = Grid(title=table.title, title_justify="left", header_style="bold", pad_edge=False)
    for _, column in columns:
        grid.add_column(column.heading, justify="left" if _is_name(column) else "right")
    for row in table.rows:
        grid.add_row(*(_text(row[i]) for i, _ in columns))
    console.print(grid)
    for note in table.notes:
        console.print(note, style="dim", markup=False, highlight=False)


def show_rows(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print plain rows under headings; whole, one per line, where it is not a terminal."""
    console = Console()
    if not console.is_terminal:
        for row in rows:
            console.file.write("  ".join(cell for cell in row if cell) + "\n")
        return
    grid = Grid(header_style="bold", pad_edge=False, box=None)
    for heading in headings:
        grid.add_column(heading, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    console.print(grid)


def _is_name(column: Column) -> bool:
    return column.name in ("Network", "Method")


def _text(cell: Cell) -> Text:
    words = Text(cell.text, style="bold" if cell.strong else "")
    for part in (cell.interval, f"n = {cell.n}" if cell.n else ""):
        if part:
            words.append(f"\n{part}", style="dim")
    return words
