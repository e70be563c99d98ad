"""What a conversion method is: a function from a folded ANN to numbers.

A method never edits a network. It returns a `Balance`: thresholds, start potentials and shifts by
layer; `Source.spiking` puts them in.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from conversion.source import Balance, Source
from network.registry import Registry

Option = int | float | str | bool


@dataclass(frozen=True)
class Method:
    """One way to thresholds.

    calibration_images: how many images it is given by default.
    encoding: input encoding where none is asked for.
    options: names and default values.
    ann: 'relu' for any network, 'qcfs' for one with quantised activations.
    plain: what it is without the steps that it observes before it answers; None where it observes
        none, or only where an option says so.
    """

    name: str
    summary: str
    source: str
    function: Callable[..., Balance]
    calibration_images: int
    options: Mapping[str, Option] = field(default_factory=dict)
    encoding: str = "constant"
    ann: str = "relu"
    plain: str | None = None


CONVERSIONS: Registry[Method] = Registry("conversion")


def method(
    name: str,
    *,
    summary: str,
    source: str,
    calibration_images: int,
    ann: str = "relu",
    plain: str | None = None,
) -> Callable[[Callable[..., Balance]], Callable[..., Balance]]:
    """Decorator: register `function(source, *, option=default, ...)` as a conversion method."""

    def store(function: Callable[..., Balance]) -> Callable[..., Balance]:
        parameters = inspect.signature(function).parameters.values()
        options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        CONVERSIONS.register(name)(
            Method(
                name, summary, source, function, calibration_images, options, ann=ann, plain=plain
            )
        )
        return function

    return store


def resolve_options(method: Method, given: Mapping[str, Any]) -> dict[str, Option]:
    """The method's defaults with `given` laid over them.

    Raises ValueError for an option that it does not have, or a value of another type.
    """
    return filled(method.name, method.options, given)


def filled(
    name: str, defaults: Mapping[str, Option], given: Mapping[str, Any]
) -> dict[str, Option]:
    """`defaults` with `given` laid over them; name: whose options they are, for the errors."""
    known = ", ".join(defaults) or "none"
    for option, value in given.items():
        if option not in defaults:
            near = get_close_matches(option, defaults, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"{name} has no option {option!r}; {hint}known: {known}")
        default = defaults[option]
        allowed = (int, float) if type(default) is float else (type(default),)
        if not isinstance(value, allowed) or isinstance(value, bool) != isinstance(default, bool):
            raise ValueError(
                f"{name}: {option} must be of type {type(default).__name__}, got {value!r}"
            )
    return {**defaults, **given}


class _NotYet(Exception):
    """A method began to look at the network."""


class _Nowhere:
    """Stands where the network will be."""

    def __getattr__(self, name: str) -> Any:
        raise _NotYet(name)


def check_values(method: Method, options: Mapping[str, Option]) -> None:
    """Raises the ValueError that the method would raise before it looks at the network."""
    with suppress(_NotYet):
        method.function(_Nowhere(), **options)


def one_of(method: str, option: str, value: str, *allowed: str) -> None:
    """Raises ValueError for a value that is none of those allowed."""
    if value not in allowed:
        raise ValueError(f"{method}: {option} must be one of {', '.join(allowed)}, got {value!r}")


def balance_by(name: str, source: Source, **options: Option) -> Balance:
    """What another method finds, with its default options but for those given.

    Raises UnknownName, or ValueError for an option that it does not have, and for a method that
    needs an ANN of its own.
    """
    other = CONVERSIONS.get(name)
    if other.ann != "relu":
        known = ", ".join(n for n in CONVERSIONS if CONVERSIONS.get(n).ann == "relu")
        raise ValueError(f"thresholds must come from one of {known}, got {name!r}")
    return other.function(source, **resolve_options(other, options))


def within(method: str, option: str, value: float, low: float, high: float) -> None:
    """Raises ValueError where low < value ≤ high does not hold."""
    if not low < value <= high:
        allowed = f"above {low:g}" + ("" if high == float("inf") else f" and at most {high:g}")
        raise ValueError(f"{method}: {option} must be {allowed}, got {value:g}")
