"""Options of methods: what each is by default, what it means, what it may be; and their one check.

A conversion, a rule of direct training and the quantised ANN declare a table, option -> `Option`.
`resolve` lays what is given over the defaults, before anything runs.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from network.registry import nearest

Value = bool | int | float | str
LARGEST = sys.float_info.max


class OptionError(ValueError):
    """An option that a method does not have, or a value that it does not take."""


@dataclass(frozen=True)
class Range:
    """What a number may be: `above` and `below` are no longer allowed, `least` and `most` still."""

    above: float = -math.inf
    least: float = -math.inf
    below: float = math.inf
    most: float = math.inf

    def holds(self, value: float) -> bool:
        """Whether the number is finite and within the bounds."""
        within = self.above < value < self.below and self.least <= value <= self.most
        return within and is_finite(value)

    def __str__(self) -> str:
        bounds = {
            "above": self.above, "at least": self.least, "below": self.below, "at most": self.most,
        }  # fmt: skip
        return " and ".join(f"{word} {x:g}" for word, x in bounds.items() if math.isfinite(x))


def is_finite(value: float) -> bool:
    """Whether it is a number that a float can be: a whole one may be too large for that."""
    return abs(value) <= LARGEST


POSITIVE = Range(above=0.0)
NOT_NEGATIVE = Range(least=0.0)
SHARE = Range(least=0.0, most=1.0)


@dataclass(frozen=True)
class Option:
    """One option of a method.

    default: its type is that of the values; a whole number is taken for a float too.
    meaning: one line, for `isospike list METHOD` and docs/reference.md.
    range: of a number.
    ranges: (another option, value of that -> the range beside it), where one range does not do.
    choices: the names that it may be, of a registry for example.
    refused: one of these names -> why this method does not take it.
    idle: (another option, the values of that beside which this one decides nothing).
    """

    default: Value
    meaning: str
    range: Range | None = None
    ranges: tuple[str, Mapping[Any, Range]] | None = None
    choices: Iterable[str] | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    idle: tuple[str, Iterable[Value]] | None = None

    @property
    def names(self) -> list[str]:
        """The choices, without those that are refused."""
        return [name for name in self.choices or () if name not in self.refused]


Options = Mapping[str, Option]


def with_defaults(options: Options, **defaults: Value) -> Options:
    """The same options with some other defaults."""
    changed = {name: replace(options[name], default=value) for name, value in defaults.items()}
    return MappingProxyType({**options, **changed})


def resolve(owner: str, options: Options, given: Mapping[str, object]) -> dict[str, Any]:
    """Every option: its default, or what is given; a whole number as a float where that is one.

    owner: the name of the method, for the errors.
    Raises OptionError in one line for an option that there is none of, a value of another type, out
    of range or none of the choices, and for one that has no effect beside the others.
    """
    resolved: dict[str, Any] = {name: option.default for name, option in options.items()}
    for name, value in given.items():
        if name not in options:
            known = ", ".join(options) or "none"
            hint = nearest(name, options)
            raise OptionError(f"{owner} has no option {name!r}; {hint}known: {known}")
        resolved[name] = _typed(f"{owner}: {name}", type(options[name].default), value)
    for name, option in options.items():
        where, value = f"{owner}: {name}", resolved[name]
        if option.choices is not None:
            _check_choice(where, option, value)
        _check_range(where, option, value, resolved)
        _check_idle(where, option, value, resolved)
    return resolved


def _typed(where: str, kind: type, value: Any) -> Any:
    allowed = (int, float) if kind is float else (kind,)
    if not isinstance(value, allowed) or isinstance(value, bool) != (kind is bool):
        raise OptionError(f"{where} must be of type {kind.__name__}, got {value!r}")
    if kind is float and isinstance(value, int) and is_finite(value):
        return float(value)
    return value


def _check_choice(where: str, option: Option, value: str) -> None:
    why = option.refused.get(value)
    if why is not None:
        raise OptionError(f"{where} cannot be {value!r}: {why}")
    names = option.names
    if value not in names:
        hint = nearest(value, names).strip()
        raise OptionError(
            f"{where} must be one of {', '.join(names)}, got {value!r}{'; ' if hint else ''}{hint}"
        )


def _check_range(where: str, option: Option, value: Any, resolved: Mapping[str, Any]) -> None:
    allowed, beside = option.range, ""
    if option.ranges is not None:
        other, ranges = option.ranges
        allowed, beside = ranges.get(resolved[other]), f" with {other} = {resolved[other]!r}"
    if allowed is not None and not allowed.holds(value):
        finite = "" if is_finite(value) else "finite, "
        raise OptionError(f"{where} must be {finite}{allowed}{beside}, got {value!r}")


def _check_idle(where: str, option: Option, value: Any, resolved: Mapping[str, Any]) -> None:
    if option.idle is None or value == option.default:
        return
    other, values = option.idle
    if resolved[other] in values:
        raise OptionError(
            f"{where} has no effect with {other} = {resolved[other]!r}: leave it out, got {value!r}"
        )
