"""A receipt: a finished study cut small enough for a repository, with nothing of its machine.

    python -m compare.receipt RUN RECEIPT [--figures F,F]   cut the study in RUN into RECEIPT
    python -m compare.receipt --again RECEIPT [RECEIPT …]   draw anew what receipts show

A receipt holds what a report reads (study, records, cases without weights and recorded potentials),
and of the report itself the tables that are quoted and the figures asked for. Its study bears the
name of its directory; commands name no directories, logs no machine, and every case is signed
again, so `isospike report RECEIPT` rebuilds the whole page from it. Loads no torch.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import shutil
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path, PurePath

from compare.store import (
    CASE_FILE,
    LOG_FILE,
    RECORD_COLUMNS,
    DamagedCase,
    Store,
    replace_text,
    write_csv,
)
from network.files import replacing

LEFT_OUT = ("weights.safetensors", "traces.npz")
TABLES = ("accuracy-at-T", "energy", "iso-accuracy", "paper", "summary", "tests", "training-time")
TABLE_ENDINGS = (".csv", ".md")
FIGURE_ENDING = ".png"
FIGURES = ("accuracy-timesteps",)


class ReceiptError(ValueError):
    """A receipt that cannot be made of what was given."""


def cut(run: Path, receipt: Path, figures: Collection[str] = FIGURES) -> None:
    """Write the finished study in `run` into the directory `receipt`, and draw what it shows.

    A README.md there stays, and so do cases that are already there. Raises ReceiptError where `run`
    holds no finished study, a figure is not one, or the receipt has cases that the study has not;
    DamagedCase where a case is not what was written.
    """
    rows = _records(run)
    cases = list(dict.fromkeys(row["case"] for row in rows))
    kept = Store(receipt)
    others = [p.name for p in kept.cases.glob("[!.]*") if p.name not in cases]
    if others:
        raise ReceiptError(
            f"{receipt} has cases that {run} has not, first {others[0]}: remove them"
        )
    _check_figures(figures)
    kept.prepare()
    for case in cases:
        if not kept.finished(case):
            _copy(Store(run), kept, case)
    shutil.rmtree(receipt / "work")
    study = (run / "study.toml").read_text("utf-8")
    first, rest = study.split("\n", 1)
    if not first.startswith("name = "):
        raise ReceiptError(f"{run / 'study.toml'} does not begin with the study's name: {first}")
    replace_text(receipt / "study.toml", f'name = "{receipt.name}"\n{rest}')
    with replacing(receipt / "records.csv") as partial:
        write_csv(partial, RECORD_COLUMNS, [{**row, "study": receipt.name} for row in rows])
    tables = [f"{name}{ending}" for name in TABLES for ending in TABLE_ENDINGS]
    draw(receipt, tables, [f"{name}{FIGURE_ENDING}" for name in figures])


def draw_again(receipt: Path) -> None:
    """Write the tables and figures that a receipt shows anew, those and no others."""
    shown = [
        sorted(file.name for file in (receipt / "report" / folder).glob("*"))
        for folder in ("tables", "figures")
    ]
    if any(shown):
        draw(receipt, *shown)


def draw(receipt: Path, tables: Collection[str], figures: Collection[str]) -> None:
    """Write these files of the report, by name, of the tables those that the study has."""
    from reports import page

    with tempfile.TemporaryDirectory() as scratch:
        whole = page.build([receipt], Path(scratch) / "report").parent
        for folder, names in (("tables", tables), ("figures", figures)):
            place = receipt / "report" / folder
            shutil.rmtree(place, ignore_errors=True)
            for name in names:
                file = whole / folder / name
                if file.is_file():
                    place.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, place / name)
                elif folder == "figures":
                    raise ReceiptError(f"the study in {receipt} has no figure {name}")


def without_places(command: str) -> str:
    """A command without the names of directories: `--data DIR`, no `--out`, files by name alone."""
    words: list[str] = []
    rest = iter(shlex.split(command))
    for word in rest:
        option, equals, _ = word.partition("=")
        if option == "--out":
            if not equals:
                next(rest, None)
        elif option == "--data":
            words += ["--data", "DIR"]
            if not equals:
                next(rest, None)
        else:
            words.append(PurePath(word).name if PurePath(word).is_absolute() else word)
    return shlex.join(words)


def _records(run: Path) -> list[dict[str, str]]:
    try:
        with (run / "records.csv").open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except FileNotFoundError as error:
        raise ReceiptError(f"{run} holds no study with records: {error.filename}") from error
    if not rows:
        raise ReceiptError(f"{run / 'records.csv'} has no records: no case is finished")
    return rows


def _check_figures(names: Collection[str]) -> None:
    from reports import figures

    for name in names:
        if name not in figures.FIGURES:
            known = ", ".join(figures.FIGURES)
            raise ReceiptError(f"no figure is called {name}; there are: {known}")


def _copy(run: Store, receipt: Store, case: str) -> None:
    content = run.read(case)
    content["study"] = receipt.directory.resolve().name
    content["command"] = without_places(content["command"])
    with receipt.writing(case, content) as partial:
        for file in sorted(run.path(case).iterdir()):
            if file.name == LOG_FILE:
                (partial / LOG_FILE).write_text(_log(file.read_text("utf-8")), "utf-8")
            elif file.name not in (*LEFT_OUT, CASE_FILE) and not file.name.startswith("."):
                shutil.copyfile(file, partial / file.name)


def _log(text: str) -> str:
    """A case's log without process, machine and tracebacks."""
    lines = []
    for line in text.splitlines():
        time, _, said = line.partition(" ")
        if said.startswith("begun by process"):
            _, _, command = said.partition(": ")
            lines.append(f"{time} begun: {without_places(command)}")
        elif not line.startswith(" "):  # what is folded under a line is a traceback
            lines.append(line)
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m compare.receipt", description="see the module")
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--again", action="store_true", help="draw what receipts show anew")
    parser.add_argument("--figures", default=",".join(FIGURES), help="figures to keep, as PNG")
    given = parser.parse_args(arguments)
    try:
        if given.again:
            for receipt in given.directories:
                draw_again(receipt)
                print(receipt)
        elif len(given.directories) == 2:
            run, receipt = given.directories
            cut(run, receipt, [name for name in given.figures.split(",") if name])
            print(receipt)
        else:
            raise ReceiptError(f"two directories, RUN and RECEIPT; got {len(given.directories)}")
    except (ReceiptError, DamagedCase, OSError) as error:
        print(f"receipt: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
