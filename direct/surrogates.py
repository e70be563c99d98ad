"""Surrogate slopes ds/dv⁻ at x = v⁻ − θ.

A surrogate is a smooth curve that stands in for the Heaviside step, and its slope. Training uses
the slope only; the curve says what the slope is the derivative of. Calling a surrogate gives its
slope, so that one can be handed to `network.neurons.Neuron(slope=…)` as it is.

The width of a surrogate is the area under its slope divided by the slope's peak. Width matters
far more than shape, so shapes are compared at equal width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from network.registry import Registry


class Surrogate(Protocol):
    """A curve, its slope and its width; both functions work elementwise on x = v⁻ − θ."""

    @property
    def width(self) -> float: ...

    @property
    def form(self) -> tuple[str, float, float]:
        """Name of its formula and its parameters, for kernels that know it."""
        ...

    def curve(self, x: Tensor) -> Tensor: ...

    def slope(self, x: Tensor) -> Tensor: ...

    def __call__(self, x: Tensor) -> Tensor: ...


SURROGATES: Registry[type] = Registry("surrogate")


@SURROGATES.register("fast-sigmoid")
@dataclass(frozen=True)
class FastSigmoid:
    """Slope β/(1 + γ|x|)², curve βx/(1 + γ|x|) (Ledinauskas 2020, eq. 9); width 2/γ."""

    gamma: float = 2.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        _require_positive(gamma=self.gamma, beta=self.beta)

    @property
    def width(self) -> float:
        return 2.0 / self.gamma

    @property
    def form(self) -> tuple[str, float, float]:
        return "fast-sigmoid", self.gamma, self.beta

    def curve(self, x: Tensor) -> Tensor:
        return self.beta * x / (1.0 + self.gamma * x.abs())

    def slope(self, x: Tensor) -> Tensor:
        return (x.abs() * self.gamma).add_(1.0).square_().reciprocal_().mul_(self.beta)

    __call__ = slope


@SURROGATES.register("triangle")
@dataclass(frozen=True)
class Triangle:
    """Slope β·max(0, 1 − γ|x|), curve its integral from 0; width 1/γ."""

    gamma: float = 1.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        _require_positive(gamma=self.gamma, beta=self.beta)

    @property
    def width(self) -> float:
        return 1.0 / self.gamma

    @property
    def form(self) -> tuple[str, float, float]:
        return "triangle", self.gamma, self.beta

    def curve(self, x: Tensor) -> Tensor:
        inside = x.clamp(-1.0 / self.gamma, 1.0 / self.gamma)
        return self.beta * (inside - 0.5 * self.gamma * inside * inside.abs())

    def slope(self, x: Tensor) -> Tensor:
        return self.beta * (1.0 - self.gamma * x.abs()).clamp(min=0.0)

    __call__ = slope


@SURROGATES.register("exponential")
@dataclass(frozen=True)
class Exponential:
    """Slope β·exp(−γ|x|), curve sign(x)·(β/γ)(1 − exp(−γ|x|)); width 2/γ."""

    gamma: float = 2.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        _require_positive(gamma=self.gamma, beta=self.beta)

    @property
    def width(self) -> float:
        return 2.0 / self.gamma

    @property
    def form(self) -> tuple[str, float, float]:
        return "exponential", self.gamma, self.beta

    def curve(self, x: Tensor) -> Tensor:
        return torch.sign(x) * (self.beta / self.gamma) * -torch.expm1(-self.gamma * x.abs())

    def slope(self, x: Tensor) -> Tensor:
        return self.beta * torch.exp(-self.gamma * x.abs())

    __call__ = slope


@SURROGATES.register("rectangle")
@dataclass(frozen=True)
class Rectangle:
    """Slope 1/a for |x| < a/2, else 0 (Zheng 2021, eq. 16); curve a ramp from −½ to ½; width a."""

    a: float = 1.0

    def __post_init__(self) -> None:
        _require_positive(a=self.a)

    @property
    def width(self) -> float:
        return self.a

    @property
    def form(self) -> tuple[str, float, float]:
        return "rectangle", self.a, 0.0

    def curve(self, x: Tensor) -> Tensor:
        return x.clamp(-0.5 * self.a, 0.5 * self.a) / self.a

    def slope(self, x: Tensor) -> Tensor:
        return (x.abs() < 0.5 * self.a).to(x.dtype) / self.a

    __call__ = slope


@SURROGATES.register("arctan")
@dataclass(frozen=True)
class Arctan:
    """Slope (α/2)/(1 + (π/2·αx)²), curve arctan(π/2·αx)/π (Fang 2021); width 2/α."""

    alpha: float = 2.0

    def __post_init__(self) -> None:
        _require_positive(alpha=self.alpha)

    @property
    def width(self) -> float:
        return 2.0 / self.alpha

    @property
    def form(self) -> tuple[str, float, float]:
        return "arctan", self.alpha, 0.0

    def curve(self, x: Tensor) -> Tensor:
        return torch.atan(0.5 * math.pi * self.alpha * x) / math.pi

    def slope(self, x: Tensor) -> Tensor:
        return 0.5 * self.alpha / (1.0 + (0.5 * math.pi * self.alpha * x).square())

    __call__ = slope


def surrogate(name: str, width: float) -> Surrogate:
    """The surrogate of this name at this width, with its usual peak.

    `rectangle` and `arctan` keep their area of 1, so their peak is 1/width.
    """
    _require_positive(width=width)
    kind = SURROGATES.get(name)
    usual: Surrogate = kind()
    parameter = next(field for field in ("gamma", "alpha", "a") if field in kind.__annotations__)
    value = getattr(usual, parameter)
    scale = width / usual.width if parameter == "a" else usual.width / width
    changed: Surrogate = replace(usual, **{parameter: value * scale})  # type: ignore[type-var]
    return changed


def _require_positive(**values: float) -> None:
    for name, value in values.items():
        if not 0.0 < value < math.inf:
            raise ValueError(f"{name} of a surrogate must be positive and finite, got {value}")
