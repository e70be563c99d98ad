"""Measures of one network and of one network against another.

Every measure raises where it is undefined; `not reached` is a value, never a number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, TypeVar

import numpy as np

POINT = 0.01
"""One point of accuracy, in fractions of 1."""

ROUNDING = 1e-12
"""What floating point may take from an accuracy that lies exactly at its target."""

TOLERANCES = (0.5, 1.0, 2.0)
"""The δ, in points, at which T*(δ) is reported."""


class MetricError(ValueError):
    """A measure asked of data for which it is undefined."""


class NotReached(Enum):
    """The value of a measure whose target no T of the sweep reaches."""

    NOT_REACHED = "not reached"

    def __str__(self) -> str:
        return self.value


NOT_REACHED = NotReached.NOT_REACHED


@dataclass(frozen=True)
class Metric:
    """A measure with all a reader needs to judge it. higher_is_better: None where neither is.

    function: of its arguments; or column: of sweep.csv, and of records.csv where that has it.
    """

    name: str
    unit: str
    higher_is_better: bool | None
    definition: str
    source: str
    function: Callable[..., Any] | None = None
    column: str | None = None

    @property
    def summary(self) -> str:
        """Definition, unit, direction and source, in one line."""
        return described(self.definition, self.unit, self.higher_is_better, self.source)


def described(definition: str, unit: str, higher_is_better: bool | None, source: str) -> str:
    """Definition, unit, direction and source of a measure, in one line."""
    better = {True: "higher is better", False: "lower is better", None: "neither way is better"}
    return f"{definition} [{unit}; {better[higher_is_better]}; {source}]"


METRICS: dict[str, Metric] = {}

Function = TypeVar("Function", bound=Callable[..., Any])


def register(
    name: str, *, unit: str, higher_is_better: bool | None, source: str
) -> Callable[[Function], Function]:
    """File a function as a measure; its docstring's first line is the definition."""

    def decorate(function: Function) -> Function:
        definition = (function.__doc__ or "").strip().split("\n")[0]
        _add(Metric(name, unit, higher_is_better, definition, source, function))
        return function

    return decorate


def _add(metric: Metric) -> None:
    if metric.name in METRICS:
        raise MetricError(f"metric {metric.name!r} is registered twice")
    METRICS[metric.name] = metric


for _name, _unit, _higher, _definition, _source in (
    ("accuracy", "fraction of 1", True, "Share of test images answered right after T steps.", ""),
    ("spikes_per_image", "spikes", False, "Spikes of hidden neurons until T, per image.", ""),
    ("input_spikes_per_image", "spikes", False, "Spikes of the encoded input until T.", ""),
    ("pooling_spikes_per_image", "spikes", False, "Spikes of pooling neurons until T.", ""),
    ("ac_per_image", "additions", False, "Synapses driven by all spikes until T, per image.", ""),
    ("mac_per_image", "multiply-adds", False,
     "Multiply-adds of the analogue layers until T; a constant-input first layer counts once.", ""),
    ("mac_uncached_per_image", "multiply-adds", False,
     "The same with a constant-input first layer counted at every step.", ""),
    ("effective_mac_per_image", "multiply-adds", False,
     "Multiply-adds of the ANN whose activation is not zero.", ""),
    ("neuron_updates_per_image", "updates", False, "Membrane updates: neurons times T.", ""),
    ("energy_pj_per_image", "pJ", False,
     "Energy by the model horowitz-fp32, never measured.", "Horowitz 2014"),
):  # fmt: skip
    _add(Metric(_name, _unit, _higher, _definition, _source or "counted", column=_name))


def reaches(accuracy: np.ndarray | float, target: np.ndarray | float) -> np.ndarray:
    """Whether accuracies are at their target or above it, rounding aside."""
    return np.asarray(accuracy) >= np.asarray(target) - ROUNDING


@register("iso-timesteps", unit="steps", higher_is_better=False, source="ours: sustained")
def sustained_timesteps(
    timesteps: np.ndarray, accuracy: np.ndarray, target: float
) -> int | Literal[NotReached.NOT_REACHED]:
    """Smallest T from which accuracy stays at or above the target for every larger T.

    T*(δ) is this with target = reference − δ. timesteps: [n] rising; accuracy: [n], fractions.
    """
    timesteps, accuracy = _checked(timesteps, accuracy)
    below = np.flatnonzero(~reaches(accuracy, target))
    first = 0 if not below.size else int(below[-1]) + 1
    return NOT_REACHED if first == timesteps.size else int(timesteps[first])


@register(
    "trained-timesteps",
    unit="steps",
    higher_is_better=False,
    source="ours: T*(δ) read up to the training T alone",
)
def trained_timesteps(
    timesteps: np.ndarray, accuracy: np.ndarray, target: float, train_timesteps: int
) -> int | Literal[NotReached.NOT_REACHED]:
    """Smallest T from which a direct network stays at the target up to the T it was trained for.

    No T*(δ): what happens beyond the training T does not count. It says how few steps suffice
    for one who never runs the network longer than it was trained for.
    """
    timesteps, accuracy = _checked(timesteps, accuracy)
    last = np.flatnonzero(timesteps == train_timesteps)
    if not last.size:
        raise MetricError(f"T = {train_timesteps}, trained for, must be in the sweep")
    part = slice(0, int(last[0]) + 1)
    return sustained_timesteps(timesteps[part], accuracy[part], target)


@register("best-timesteps", unit="steps", higher_is_better=False, source="Lee 2020, table 9 (max)")
def best_timesteps(timesteps: np.ndarray, accuracy: np.ndarray) -> int:
    """Smallest T at which accuracy is the highest of the sweep."""
    timesteps, accuracy = _checked(timesteps, accuracy)
    return int(timesteps[int(accuracy.argmax())])


@register("latency", unit="steps", higher_is_better=False, source="Hao 2023 (steps of observation)")
def latency(
    timesteps: int | Literal[NotReached.NOT_REACHED], calibration_timesteps: int
) -> int | Literal[NotReached.NOT_REACHED]:
    """Steps until the readout, with those of observation before it."""
    if calibration_timesteps < 0:
        raise MetricError(f"calibration_timesteps must be at least 0, got {calibration_timesteps}")
    return timesteps if timesteps is NOT_REACHED else timesteps + calibration_timesteps


@register("speedup", unit="times", higher_is_better=True, source="Lee 2020, table 9 (iso and max)")
def speedup(
    converted: int | Literal[NotReached.NOT_REACHED], direct: int | Literal[NotReached.NOT_REACHED]
) -> float | Literal[NotReached.NOT_REACHED]:
    """Steps of the converted network for each step of the directly trained one.

    Both are latencies. `iso`: converted network to the direct one's best accuracy; `max`: each to
    its own best.
    """
    return _ratio(converted, direct)


@register("spike-efficiency", unit="times", higher_is_better=True, source="Lee 2020, table 8")
def spike_efficiency(
    converted: float | Literal[NotReached.NOT_REACHED],
    direct: float | Literal[NotReached.NOT_REACHED],
) -> float | Literal[NotReached.NOT_REACHED]:
    """Spikes of the converted network for each spike of the directly trained one.

    Spikes per image at the T that `speedup` compares, hidden and input spikes as chosen by the
    caller; Lee 2020 counts both.
    """
    return _ratio(converted, direct)


@register("spikes-per-synapse", unit="spikes", higher_is_better=False, source="Dampfhoffer 2023")
def spikes_per_synapse(ac_per_image: float, dense_mac_per_image: float) -> float:
    """Additions of the spiking network for each multiply-add of the ANN that it replaces."""
    if not (dense_mac_per_image > 0 and ac_per_image >= 0):
        got = f"{ac_per_image} and {dense_mac_per_image}"
        raise MetricError(f"need ACs of at least 0 and MACs above 0, got {got}")
    return ac_per_image / dense_mac_per_image


def _ratio(
    converted: float | Literal[NotReached.NOT_REACHED],
    direct: float | Literal[NotReached.NOT_REACHED],
) -> float | Literal[NotReached.NOT_REACHED]:
    if converted is NOT_REACHED or direct is NOT_REACHED:
        return NOT_REACHED
    if not (converted >= 0 and direct > 0):
        raise MetricError(f"a ratio needs counts above 0, got {converted} and {direct}")
    return converted / direct


def _checked(timesteps: np.ndarray, accuracy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    timesteps, accuracy = np.asarray(timesteps), np.asarray(accuracy, dtype=np.float64)
    if timesteps.ndim != 1 or timesteps.shape != accuracy.shape or not timesteps.size:
        got = f"{timesteps.shape} and {accuracy.shape}"
        raise MetricError(f"timesteps and accuracy must be equally long rows, got {got}")
    if (np.diff(timesteps) <= 0).any():
        raise MetricError("timesteps must rise")
    if not np.isfinite(accuracy).all():
        raise MetricError("accuracy must be known at every timestep")
    return timesteps, accuracy
