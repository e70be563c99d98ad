"""A study changed on the command line."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from compare.study import OF_ARCHITECTURES, Study, StudyError, build_study

LONGEST = 80  # letters of a name


def derived_name(study: Study, given: dict[str, Any]) -> str:
    """A name for a study of other networks or methods: what it compares."""
    words = [*(given.get("datasets") or study.every("datasets"))]
    words += given.get("architectures") or study.every("architectures")
    return plain_name("-".join(words)) or study.name


def plain_name(text: str) -> str:
    """The text as a name of a directory: letters from A to Z, digits, dots and dashes, at most 80.

    Where other letters or too long an end are left out, a digest tells what was there.
    """
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip("-.")
    if text.isascii() and len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{name[: LONGEST - 9]}-{digest}".lstrip("-")


def changed(study: Study, given: dict[str, Any]) -> Study:
    """The study with `given` in place of its own values (None: the default), in every part too.

    Of several parts and of the published numbers, those with the data sets, architectures and
    methods that are given stay. What the study builds its architectures with goes where all that
    are given are the user's own. Raises StudyError where no part has what is given.
    """
    values = {**study.model_dump(mode="json", exclude_none=True), **given}
    chosen: dict[str, list[str]] = {
        key: given[key] for key in ("datasets", "architectures") if key in given
    }
    gone = set(given)
    if "architectures" in chosen and all(":" in name for name in chosen["architectures"]):
        gone.update(OF_ARCHITECTURES)
        values = {key: value for key, value in values.items() if key not in OF_ARCHITECTURES}
    parts = []
    for part in study.parts:
        whole = {**study.model_dump(), **part}
        if all(set(names) <= set(whole[key]) for key, names in chosen.items()):
            parts.append({key: value for key, value in part.items() if key not in gone})
    if study.parts and not parts:
        wanted = ", ".join(repr(name) for names in chosen.values() for name in names)
        known = ", ".join(map(repr, (*study.every("datasets"), *study.every("architectures"))))
        raise StudyError(f"study {study.name} has no part with {wanted}; it has: {known}")
    named = dict(chosen)
    if "methods" in given:
        named["methods"] = ["ann", *given["methods"]]
    values["parts"] = parts
    values["paper"] = [
        row
        for row in study.paper
        if all(getattr(row, key.removesuffix("s")) in names for key, names in named.items())
    ]
    values = {key: value for key, value in values.items() if value is not None}
    return build_study(values, where="command line")
