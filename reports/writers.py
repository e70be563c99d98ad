"""Tables as text: CSV for programs, Markdown for pages, LaTeX (booktabs) for papers."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pandas as pd

from reports.tables.cells import Cell, Table

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": r"$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "–": r"--",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
    "∞": r"$\infty$",
    "µ": r"$\mu$",
    "·": r"$\cdot$",
    "‖": r"$\|$",
    "†": r"$\dagger$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "δ": r"$\delta$",
    "γ": r"$\gamma$",
    "θ": r"$\theta$",
    "τ": r"$\tau$",
    "λ": r"$\lambda$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "<": r"$<$",
    ">": r"$>$",
    "[": "{[}",
    "]": "{]}",
}
"""What LaTeX would misread, and the signs of our own tables."""


def write(
    table: Table, directory: Path, name: str | None = None, label: str | None = None
) -> tuple[Path, ...]:
    """Write a table as NAME.csv, NAME.md and NAME.tex; by default under its own name.

    label: what LaTeX refers to it by, after `tab:`; by default its name.
    """
    directory.mkdir(parents=True, exist_ok=True)
    texts = {"csv": to_csv(table), "md": to_markdown(table), "tex": to_latex(table, label)}
    paths = []
    for suffix, text in texts.items():
        path = directory / f"{name or table.name}.{suffix}"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return tuple(paths)


def to_csv(table: Table) -> str:
    """Raw numbers: for every column its value, and low, high, the standard deviation over seeds
    (sd) and n where any row has them."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    with_ends = [any(row[i].low is not None for row in table.rows) for i in _places(table)]
    with_sd = [any(row[i].deviation is not None for row in table.rows) for i in _places(table)]
    with_n = [any(row[i].n for row in table.rows) for i in _places(table)]
    header: list[str] = []
    for i, column in enumerate(table.columns):
        unit = column.raw or column.unit
        name = f"{column.name} ({unit})" if unit else column.name
        header += [name] + [f"{column.name}, low", f"{column.name}, high"] * with_ends[i]
        header += [f"{column.name}, sd"] * with_sd[i] + [f"{column.name}, n"] * with_n[i]
    writer.writerow(header)
    for row in table.rows:
        fields: list[str] = []
        for i, cell in enumerate(row):
            fields.append(_field(cell.value))
            fields += [_field(cell.low), _field(cell.high)] * with_ends[i]
            fields += [_field(cell.deviation)] * with_sd[i] + [cell.n] * with_n[i]
        writer.writerow(fields)
    return out.getvalue()


def to_frame(table: Table) -> pd.DataFrame:
    """The raw numbers of `to_csv` as a DataFrame; a target that was not reached is infinite."""
    read = pd.read_csv(io.StringIO(to_csv(table)), na_values=[""], keep_default_na=False)
    for name in read.columns:
        column = read[name].replace("not reached", math.inf)
        kept = pd.to_numeric(column, errors="coerce")
        read[name] = kept if kept.notna().equals(column.notna()) else read[name]
    return read


def to_markdown(table: Table) -> str:
    """A pipe table with its notes; every cell with interval and n."""
    lines = [
        f"**{_markdown(table.title)}**",
        "",
        _row([_markdown(column.heading) for column in table.columns]),
        _row([":--" if _is_name(table, i) else "--:" for i in _places(table)]),
        *(_row([_markdown_cell(cell) for cell in row]) for row in table.rows),
        "",
        *(f"- {_markdown(note)}" for note in table.notes),
    ]
    return "\n".join(lines) + "\n"


def to_latex(table: Table, label: str | None = None) -> str:
    """A booktabs table; needs \\usepackage{booktabs} and \\usepackage{graphicx}.

    label: without the `tab:` before it; a document wants every one of its tables to have another.
    """
    alignment = "".join("l" if _is_name(table, i) else "r" for i in _places(table))
    head = " & ".join(escape_latex(column.heading) for column in table.columns)
    body = [" & ".join(_latex_cell(cell) for cell in row) + r" \\" for row in table.rows]
    notes = " ".join(escape_latex(note) for note in table.notes)
    lines = [
        r"% needs \usepackage{booktabs,graphicx}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(table.title)}. {notes}}}",
        rf"\label{{tab:{label or table.name}}}",
        r"\resizebox{\linewidth}{!}{%",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        head + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it stands; signs it has no name for become a question mark.

    Letters with accents (À to ž) stay: LaTeX reads UTF-8.
    """
    known = (LATEX.get(sign, sign) for sign in text)
    return "".join(sign if sign.isascii() or "À" <= sign <= "ž" else "?" for sign in known)


def _latex_cell(cell: Cell) -> str:
    text = escape_latex(cell.text)
    text = rf"\textbf{{{text}}}" if cell.strong else text
    extra = " ".join(part for part in (cell.interval, f"({cell.n})" if cell.n else "") if part)
    return rf"{text} {{\scriptsize {escape_latex(extra)}}}" if extra else text


def _markdown_cell(cell: Cell) -> str:
    text = _markdown(cell.text)
    extra = _markdown(cell.full.removeprefix(cell.text))
    return (f"**{text}**" if cell.strong else text) + extra


def _markdown(text: str) -> str:
    for sign in ("\\", "|", "<", "*", "_", "`", "["):
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ")


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _places(table: Table) -> range:
    return range(len(table.columns))


def _is_name(table: Table, place: int) -> bool:
    return all(isinstance(row[place].value, str | None) for row in table.rows)


def _field(value: float | str | None) -> str:
    """A missing value is empty; a target that was not reached says so."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return "not reached" if math.isinf(value) else f"{value:.10g}"
