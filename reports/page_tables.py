"""Tables as parts of the page, with their files to download."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, replace
from pathlib import Path

from reports import writers
from reports.analysis import Analysis
from reports.tables import Cell, Column, Table, all_tables

Rows = tuple[tuple[Cell, ...], ...]

MEDIA = {
    "csv": ("CSV", "text/csv"),
    "md": ("Markdown", "text/markdown"),
    "tex": ("LaTeX", "text/x-tex"),
}


@dataclass(frozen=True)
class Link:
    """A file to download, carried by the page itself."""

    label: str
    file: str
    data: str


@dataclass(frozen=True)
class PageTable:
    """A table and its files. rests_on: seeds and images of all its numbers, where the same."""

    title: str
    rests_on: str
    columns: tuple[Column, ...]
    rows: Rows
    notes: tuple[str, ...]
    links: tuple[Link, ...]


def page_tables(analysis: Analysis, key: str, prefix: str, home: Path) -> tuple[PageTable, ...]:
    """Every table of a study, written into `home`, with its files in the page.

    key: the name of the study, that tells its tables in a paper from those of others.
    """
    made = []
    for table in all_tables(analysis):
        label = f"{key.replace('~', '-')}-{table.name}"
        paths = writers.write(table, home / "tables", f"{prefix}{table.name}", label)
        links = tuple(_link(path) for path in paths)
        made.append(page_table(table, links))
    return tuple(made)


def page_table(table: Table, links: tuple[Link, ...] = ()) -> PageTable:
    """The table as the page shows it: one network is named in the title, not in every row, and so
    are seeds and images where all numbers rest on the same."""
    columns, title, (rests_on, rows) = table.columns, table.title, _said_once(table.rows)
    networks = {row[0].text for row in rows}
    if columns[0].name == "Network" and len(networks) == 1:
        title = f"{title}: {networks.pop()}"
        columns, rows = columns[1:], tuple(row[1:] for row in rows)
    return PageTable(title, rests_on, columns, rows, table.notes, links)


def _said_once(rows: Rows) -> tuple[str, Rows]:
    """Seeds and images, and the rows without them, where no two cells rest on different ones."""
    parts = [cell.n.split(", ") for row in rows for cell in row if cell.n]
    seeds = {part[0] for part in parts}
    images = {part for _, *more in parts for part in more if part.endswith(" images")}
    if len(seeds) != 1 or len(images) > 1:
        return "", rows
    said = (*seeds, *images)

    def rest(cell: Cell) -> Cell:
        return replace(cell, n=", ".join(part for part in cell.n.split(", ") if part not in said))

    return ", ".join(said), tuple(tuple(rest(cell) for cell in row) for row in rows)


def is_name(rows: Rows, place: int) -> bool:
    """Whether a column holds names: these stand on the left, numbers on the right."""
    return any(isinstance(row[place].value, str) for row in rows)


def _link(path: Path) -> Link:
    label, media = MEDIA[path.suffix[1:]]
    data = base64.b64encode(path.read_bytes()).decode()
    return Link(label, path.name, f"data:{media};charset=utf-8;base64,{data}")


def sort_key(cell: Cell) -> str:
    """What a column is sorted by: the raw number, a name, or nothing for a missing value."""
    if cell.value is None:
        return ""
    if isinstance(cell.value, str):
        return cell.value
    return "Infinity" if math.isinf(cell.value) else repr(cell.value)
