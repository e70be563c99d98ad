"""Every number that README and docs/results.md quote from a study stands in a receipt.

A section quotes the receipts that it links to. A number with decimals, or a whole one from
SMALLEST on, must be a number of its records and tables (CSV) or of its page's first sentences,
rounded as it is quoted, or a published one of the built-in studies. Code, links, headings and the
years of papers are not looked at.
"""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import reports
from compare.study import builtin_studies, load_study
from reports.analysis import analyse
from reports.answers import answers

ROOT = Path(__file__).resolve().parent.parent
RECEIPTS = ROOT / "docs" / "receipts"
SMALLEST = 300  # below it whole numbers are steps, layers, seeds: every receipt has them
UNITS = {"k": 1e3, "M": 1e6, "G": 1e9, "nJ": 1e3, "µJ": 1e6, "mJ": 1e9}  # energies in pJ
NUMBER = re.compile(r"(?<![\w.-])(\d+(?:,\d{3})*(?:\.\d+)?)(?: ?(k|M|G|nJ|µJ|mJ)\b)?")
LINK = re.compile(r"\]\([^)]*?receipts/([\w-]+)")
ASIDE = re.compile(
    r"```.*?```|`[^`]*`|\]\([^)]*\)|^#.*?$|\b[A-Z][a-z]+ \d{4}\b", re.DOTALL | re.MULTILINE
)


def sections(name: str) -> list[tuple[str, str]]:
    """(heading, text) of the sections of a document that quote a receipt."""
    parts = re.split(r"^(?=## )", (ROOT / name).read_text("utf-8"), flags=re.MULTILINE)
    return [(part.split("\n", 1)[0], part) for part in parts if LINK.search(part)]


def quoted(text: str) -> list[str]:
    """The numbers of a text, as they are written, with their units."""
    return [match.group().strip() for match in NUMBER.finditer(ASIDE.sub(" ", text))]


@cache
def numbers_of(receipt: str) -> np.ndarray:
    """All numbers of a receipt, sorted; shares of 1 also in percent."""
    files = [
        *(RECEIPTS / receipt).glob("*.csv"),
        *(RECEIPTS / receipt).glob("report/tables/*.csv"),
    ]
    columns = [np.zeros(0)]
    for file in files:
        table = pd.read_csv(file)
        for column in table:
            values = pd.to_numeric(table[column], errors="coerce").dropna().to_numpy(float)
            columns.append(values)
            if len(values) and values.min() >= 0 and values.max() <= 1:
                columns.append(100 * values)
    study = (RECEIPTS / receipt / "records.csv").is_file()
    for answer in answers(analyse(reports.study(RECEIPTS / receipt))) if study else ():
        words = " ".join([answer.headline, *answer.details])
        columns.append(np.array([float(digits) for digits, _ in map(parsed, quoted(words))]))
    return np.unique(np.concatenate(columns))


@cache
def published() -> np.ndarray:
    """The papers' numbers of all built-in studies."""
    values = [paper.value for name in builtin_studies() for paper in load_study(name).paper]
    return np.unique(np.array(values, float))


def parsed(number: str) -> tuple[str, float]:
    """Digits without separators, and what its unit multiplies them by."""
    match = NUMBER.fullmatch(number)
    assert match is not None
    digits, unit = match.groups()
    return digits.replace(",", ""), UNITS.get(unit, 1.0)


def worth_checking(number: str) -> bool:
    digits, scale = parsed(number)
    return "." in digits or scale > 1 or float(digits) >= SMALLEST


def stands(number: str, values: np.ndarray) -> bool:
    """Whether one of the sorted values rounds to the number as it is written."""
    digits, scale = parsed(number)
    decimals = len(digits.partition(".")[2])
    value, half = float(digits) * scale, 0.5000001 * 10.0**-decimals * scale
    for signed in (value, -value):
        place = int(np.searchsorted(values, signed - half))
        if place < len(values) and values[place] <= signed + half:
            return True
    return False


def missing(text: str) -> list[str]:
    """Numbers of a section that none of its receipts, nor a paper, has."""
    values = np.unique(
        np.concatenate([published(), *(numbers_of(name) for name in set(LINK.findall(text)))])
    )
    return [
        number for number in quoted(text) if worth_checking(number) and not stands(number, values)
    ]


def test_there_is_something_to_check() -> None:
    assert sum(len(quoted(text)) for _, text in sections("README.md")) > 30


@pytest.mark.parametrize("name", ["README.md", "docs/results.md"])
def test_every_quoted_number_stands_in_a_receipt(name: str) -> None:
    found = {heading: missing(text) for heading, text in sections(name)}
    assert not any(found.values()), found


def test_a_number_of_no_receipt_is_found() -> None:
    text = "reaches 97.123 %, 86.0 k spikes and 98.765 % [receipt](docs/receipts/mnist-lenet)"
    assert missing(text) == ["97.123", "98.765"]


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("99.39", 99.387),
        ("0.03", -0.03),
        ("86.0 k", 86006.0),
        ("55.5 µJ", 55.519e6),
        ("7,210", 7210),
    ],
)
def test_a_number_is_its_value_rounded(number: str, value: float) -> None:
    assert stands(
        number, np.array([1.0, value, value + 1e9]) if value > 1 else np.array([value, 1])
    )
    assert not stands(number, np.array([value * 1.01 + 0.02]))
