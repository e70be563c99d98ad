"""Warnings as one line each, without the place in the source. Loads no torch."""

from __future__ import annotations


def in_one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """For `warnings.formatwarning`."""
    del category, filename, lineno, line
    return f"warning: {' '.join(str(message).split())}\n"
