"""Numbers as people read them: the one place where a value becomes text."""

from __future__ import annotations

import math

from reports.metrics import NOT_REACHED, NotReached

PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
ENERGY_UNITS = ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"), (1.0, "pJ"))


def percent(fraction: float, digits: int = 2) -> str:
    """A fraction of 1 in percent, without the sign."""
    return f"{100 * fraction:.{digits}f}"


def points(fraction: float) -> str:
    """A difference of accuracies in points, signed; what rounds to zero is +0.00."""
    return f"{round(100 * fraction, 2) + 0.0:+.2f}".replace("-", "−")


def count(value: float) -> str:
    """A count with three digits and k, M, G."""
    for size, prefix in PREFIXES:
        if abs(value) >= size * 0.9995:
            return f"{_three(value / size)} {prefix}"
    return f"{value:.0f}" if float(value).is_integer() else _three(value)


def tick(value: float) -> str:
    """A round number on an axis, as short as it goes."""
    for size, prefix in PREFIXES:
        if abs(value) >= size * 0.9995:
            return f"{value / size:.4g} {prefix}"
    return f"{value:.4g}"


def power_of_ten(value: float) -> str:
    """10 to the exponent of a power of ten, without markup."""
    exponent = str(round(math.log10(value)))
    return "10" + exponent.translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def energy(picojoules: float) -> str:
    """An energy with three digits in the unit that suits it."""
    for size, unit in ENERGY_UNITS:
        if abs(picojoules) >= size * 0.9995:
            return f"{_three(picojoules / size)} {unit}"
    return f"{_three(picojoules)} pJ"


def energies(*picojoules: float) -> tuple[str, ...]:
    """Energies side by side in the unit of the largest; far apart ones each in its own."""
    sizes = [(size, unit) for size, unit in ENERGY_UNITS if max(picojoules) >= size * 0.9995]
    size, unit = sizes[0] if sizes else (1.0, "pJ")
    if min(picojoules) * 1e3 < size:
        return tuple(energy(value) for value in picojoules)
    return tuple(f"{_three(value / size)} {unit}" for value in picojoules)


def steps(value: float | NotReached) -> str:
    """Timesteps, or `not reached`."""
    return str(value) if value is NOT_REACHED else f"{value:.0f}"


def times(value: float | NotReached) -> str:
    """A ratio, or `not reached`."""
    return str(value) if isinstance(value, NotReached) else f"{_three(value)}×"


def p_value(p: float) -> str:
    """A p-value with two digits, never smaller than it is worth printing."""
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def seconds(value: float) -> str:
    """A duration in the two largest units that it has."""
    if value < 60:
        return f"{value:.3g} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _three(value: float) -> str:
    """Three significant digits without an exponent."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    digits = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{value:.{min(digits, 4)}f}"
