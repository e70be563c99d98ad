"""A study, and single settings, as TOML text."""

from __future__ import annotations

from typing import Any

import tomlkit

from compare.study import Study


def to_toml(study: Study) -> str:
    """The study as resolved, as TOML that `parse_study` reads back to the same study."""
    return tomlkit.dumps(study.model_dump(mode="json", exclude_none=True))


def pairs(table: dict[str, Any]) -> list[str]:
    """The plain entries of a table, one `key = value` each."""
    return [
        f"{tomlkit.key(key).as_string()} = {tomlkit.item(value).as_string()}"
        for key, value in table.items()
        if value is not None
    ]
