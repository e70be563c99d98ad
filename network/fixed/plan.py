"""What a fixed-point run computes, in order: values without behaviour."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, fx

from network.fixed.arithmetic import Arithmetic
from network.fixed.integers import Sum
from network.fixed.pooling import SumPool
from network.neurons import Reset
from network.pooling import PooledCurrent


class NotFixedPoint(ValueError):
    """The network, or this run of it, does not fit whole numbers: it runs in float32."""


@dataclass(frozen=True)
class Identity:
    """A shortcut without weights: `per_spike` [1, ...] is added for every spike of `source`."""

    source: str
    per_spike: Tensor


@dataclass(frozen=True)
class Current:
    """What arrives at one layer: weights, shortcuts, and what does not change with the step.

    static: names of values computed once in float64, added, with `shift`, and rounded on sigma.
    sigma, shift: [1, ...] float64. step_bound: largest change by weights and shortcuts per step.
    pool: max pooling of all this, summed over the steps, in front of the neurons.
    """

    sum: Sum | None
    identities: tuple[Identity, ...]
    static: tuple[str, ...]
    sigma: Tensor
    shift: Tensor
    step_bound: float
    pool: PooledCurrent | None = None

    @property
    def alone(self) -> bool:
        """Nothing arrives but what is the same at every step."""
        return self.sum is None and not self.identities


@dataclass(frozen=True)
class Fire:
    """One layer of neurons; theta and start are int32 [1, ...] of one image."""

    name: str
    current: Current
    theta: Tensor
    start: Tensor
    reset: Reset


@dataclass(frozen=True)
class Pool:
    """Average pooling of the spikes `source`, whole numbers up to `largest`, as a sum."""

    name: str
    source: str
    largest: int
    pool: SumPool


@dataclass(frozen=True)
class Flatten:
    """Spikes [N, C, H, W] as [N, H·W·C], as they lie in memory; the next weights lie so too."""

    name: str
    source: str


@dataclass(frozen=True)
class Reshape:
    """A node that moves numbers, or counts them: run as it stands."""

    node: fx.Node
    names: dict[str, str]  # of its arguments -> of the values they are


@dataclass(frozen=True)
class Output:
    """The last layer's current, or the last spikes (`source`) times their height (`sigma`)."""

    current: Current | None
    source: str | None
    sigma: Tensor


Instruction = Fire | Pool | Flatten | Reshape


@dataclass(frozen=True)
class Plan:
    """instructions in order; static: nodes computed once in float64 for a constant input."""

    instructions: tuple[Instruction, ...]
    output: Output
    static: frozenset[fx.Node]
    arithmetic: Arithmetic

    @property
    def currents(self) -> list[Current]:
        """What arrives at each layer of neurons, and at the output."""
        found = [i.current for i in self.instructions if isinstance(i, Fire)]
        return found if self.output.current is None else [*found, self.output.current]
