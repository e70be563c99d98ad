"""Width of the surrogate by bisection (Ledinauskas 2020, section 2.5), and the rule `tune-width`.

A wide slope (small γ) makes gradients explode towards the first layers, a narrow one makes them
vanish: the ratio of the mean gradient over the first half of the layers to that over the second
half falls as γ grows, so the γ of ratio 1 is found by bisection on log γ. That holds for slopes of
one height; those of one area, `rectangle` and `arctan`, are the higher the narrower they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType

from direct.bptt import OPTIONS, RECIPE, bptt, slope_of
from direct.gradients import Row, gradient_rows, gradients_by_layer
from direct.rules import RULES, Rule, Task, Trainable

LOWEST, HIGHEST = 1e-3, 1e5  # γ, where the search gives up


class NoBalance(ValueError):
    """No width balances the gradients of the two halves."""


@dataclass(frozen=True)
class Tuning:
    """gamma: the balanced steepness. ratio: first half / second half there. tolerance: that was
    asked for. rows: one per γ tried and layer: parameter, value, index, layer, gradient (mean
    absolute gradient of its weights)."""

    gamma: float
    ratio: float
    tolerance: float
    evaluations: int
    rows: tuple[Row, ...]

    @property
    def notes(self) -> list[str]:
        """What whoever uses gamma should know: that its ratio is not within the tolerance."""
        if abs(self.ratio - 1.0) <= self.tolerance:
            return []
        return [
            f"no γ within the tolerance: ratio {self.ratio:.3g} at γ = {self.gamma:.4g}, the "
            f"nearest to 1 ± {self.tolerance:g} of {self.evaluations} tried"
        ]


def ratio_of_halves(gradients: list[float]) -> float:
    """Mean over the first half of the layers / mean over the rest."""
    half = len(gradients) // 2
    if half == 0:
        raise NoBalance(f"gradients are balanced between layers, got {len(gradients)} layer")
    first, second = gradients[:half], gradients[half:]
    below = sum(second) / len(second)
    return (sum(first) / half) / below if below > 0 else math.inf


def tune(
    measure: Callable[[float], dict[str, float]],
    *,
    start: float = 2.0,
    tolerance: float = 0.05,
    limit: int = 30,
) -> Tuning:
    """The γ at which the halves' gradients agree to within `tolerance`.

    measure: γ to mean absolute gradient by layer, in the order of the layers. Where the ratio jumps
    past 1, so that none of `limit` γ tried is within the tolerance, it is the one whose ratio is
    nearest to 1, and `Tuning.notes` says so.
    Raises NoBalance where no γ between 1e-3 and 1e5 has a ratio on the other side of 1.
    """
    rows: list[Row] = []
    ratios: dict[float, float] = {}

    def evaluate(gamma: float) -> float:
        gradients = measure(gamma)
        rows.extend(gradient_rows("gamma", gamma, gradients))
        ratios[gamma] = ratio_of_halves(list(gradients.values()))
        return ratios[gamma]

    low = high = start
    while evaluate(low) < 1.0 and low > LOWEST:
        high, low = low, low / 4.0
    while high == low or (ratios.get(high, math.inf) >= 1.0 and high < HIGHEST):
        high *= 4.0
        evaluate(high)
    if not ratios[low] >= 1.0 > ratios[high]:
        found = ratios[low], ratios[high]
        why = " (inf: the second half of the layers has no gradients)" if math.inf in found else ""
        raise NoBalance(
            f"no γ balances the gradients: their ratio is {found[0]:.3g} at γ = {low:.3g} "
            f"and {found[1]:.3g} at γ = {high:.3g}{why}"
        )
    while (best := _nearest(ratios))[1] > tolerance and len(ratios) < limit:
        middle = math.sqrt(low * high)
        if evaluate(middle) >= 1.0:
            low = middle
        else:
            high = middle
    gamma = best[0]
    return Tuning(gamma, ratios[gamma], tolerance, len(ratios), tuple(rows))


def _nearest(ratios: dict[float, float]) -> tuple[float, float]:
    """The γ with the ratio nearest to 1, and its distance |ratio − 1|."""
    gamma = min(ratios, key=lambda g: abs(ratios[g] - 1.0))
    return gamma, abs(ratios[gamma] - 1.0)


def tune_width(task: Task) -> Trainable:
    """bptt with γ balanced before training, on as many images as a batch has."""
    trainable = bptt(replace(task, options={**task.options, "record_gradients": False}))
    batch = task.recipe.batch_size
    neurons = trainable.network.neurons().values()

    def use(gamma: float) -> None:
        for neuron in neurons:
            neuron.slope = slope_of(task.options["surrogate"], gamma)

    def measure(gamma: float) -> dict[str, float]:
        use(gamma)
        return gradients_by_layer(trainable, task.images[:batch], task.labels[:batch])

    tuning = tune(measure, start=task.options["gamma"])
    use(tuning.gamma)
    trainable.records["gradients"] = list(tuning.rows)
    trainable.facts["tuning"] = {
        "gamma": tuning.gamma,
        "ratio": tuning.ratio,
        "tolerance": tuning.tolerance,
        "evaluations": tuning.evaluations,
    }
    trainable.notes += tuning.notes
    return trainable


RULES.add(
    Rule(
        name="tune-width",
        summary="bptt with the surrogate's width tuned until gradients neither explode nor vanish",
        source="Ledinauskas 2020, section 2.5",
        function=tune_width,
        recipe=RECIPE,
        options=MappingProxyType(
            {
                **{k: v for k, v in OPTIONS.items() if k != "record_gradients"},
                "surrogate": replace(
                    OPTIONS["surrogate"],
                    refused=dict.fromkeys(
                        ("rectangle", "arctan"),
                        "it is the higher the narrower it is, so that gradients do not fall as γ "
                        "grows and no search finds their balance",
                    ),
                ),
                "gamma": replace(
                    OPTIONS["gamma"],
                    meaning="steepness from which the search for a balanced one starts",
                ),
            }
        ),
    )
)
