"""A study as TOML text; the standard library reads TOML and does not write it."""

from __future__ import annotations

from typing import Any

from compare.study import Study


def to_toml(study: Study) -> str:
    """The study as resolved, as TOML that `parse_study` reads back to the same study."""
    return as_toml(study.model_dump(mode="json", exclude_none=True))


def as_toml(content: dict[str, Any]) -> str:
    """Values and tables as TOML, the values first."""
    plain = {k: v for k, v in content.items() if not _is_table(v)}
    lines = [f"{key} = {_value(value)}" for key, value in plain.items()]
    for key, value in content.items():
        if _is_table(value):
            lines += _tables(key, value)
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)
    )


def _tables(path: str, value: Any) -> list[str]:
    if isinstance(value, list):
        return [line for row in value for line in ["", f"[[{path}]]", *pairs(row)]]
    lines = ["", f"[{path}]", *pairs({k: v for k, v in value.items() if not _is_table(v)})]
    for key, inner in value.items():
        if _is_table(inner):
            lines += _tables(f"{path}.{_key(key)}", inner)
    return lines


def pairs(table: dict[str, Any]) -> list[str]:
    """The entries of a table, one `key = value` each."""
    return [f"{_key(key)} = {_value(value)}" for key, value in table.items() if value is not None]


def _key(key: str) -> str:
    bare = key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key)
    return key if bare else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
        text = "".join(
            escapes.get(c, c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}") for c in value
        )
        return f'"{text}"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    return repr(value)
