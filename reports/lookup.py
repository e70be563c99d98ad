"""Finding an entry of a table by name, with an error that helps."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar

Entry = TypeVar("Entry")


class UnknownNameError(ValueError):
    """A name that its table does not hold."""


def lookup(table: Mapping[str, Entry], kind: str, name: str) -> Entry:
    """The entry `name` of a table.

    Raises UnknownNameError with the nearest name and all known ones, in one line.
    """
    if name in table:
        return table[name]
    near = get_close_matches(name, table, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UnknownNameError(f"unknown {kind} {name!r}; {hint}known: {', '.join(sorted(table))}")
