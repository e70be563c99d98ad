"""What a conversion method is: a function from a folded ANN to numbers.

A method never edits a network. It returns a `Balance`: thresholds, start potentials and shifts by
layer; `Source.spiking` puts them in.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import MappingProxyType

from conversion.source import Balance
from network.options import Option, Options
from network.registry import Registry


@dataclass(frozen=True)
class Method:
    """One way to thresholds.

    calibration_images: how many images it is given by default.
    encoding: input encoding where none is asked for.
    ann: 'relu' for any network, 'qcfs' for one with quantised activations.
    plain: what it is without the steps that it observes before it answers; None where it observes
        none, or only where an option says so.
    """

    name: str
    summary: str
    source: str
    function: Callable[..., Balance]
    calibration_images: int
    options: Options = field(default_factory=dict)
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
    **options: Option,
) -> Callable[[Callable[..., Balance]], Callable[..., Balance]]:
    """Decorator: register `function(source, *, option, ...)` as a conversion method.

    options: of the method, by the names of the function's keyword arguments.
    """

    def store(function: Callable[..., Balance]) -> Callable[..., Balance]:
        parameters = inspect.signature(function).parameters.values()
        taken = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        if taken != list(options):
            raise TypeError(f"{name} takes {taken}, and its options are {list(options)}")
        table = MappingProxyType(options)
        CONVERSIONS.add(
            Method(name, summary, source, function, calibration_images, table, ann=ann, plain=plain)
        )
        return function

    return store


@dataclass(frozen=True)
class Conversions:
    """Names of the conversions for which `holds`, of those registered when it is asked."""

    holds: Callable[[Method], bool]

    def __iter__(self) -> Iterator[str]:
        return (name for name in CONVERSIONS if self.holds(CONVERSIONS.get(name)))
