"""Ways of direct training: the rules, and the papers' presets of them, by one name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from direct import Rule
    from network.recipe import Recipe


@dataclass(frozen=True)
class Way:
    """A way of direct training: a rule as it is, or a paper's preset of one.

    batch_norm, dropout: what a preset demands of the architecture; None leaves it to the study.
    """

    rule: Rule
    recipe: Recipe
    timesteps: int
    encoding: str
    readout: str
    options: Mapping[str, Any]
    batch_norm: bool | None = None
    dropout: float | None = None


def way_of(name: str) -> Way:
    """The rule or preset of that name."""
    from direct import PRESETS, RULES

    if name in PRESETS:
        preset = PRESETS.get(name)
        return Way(
            RULES.get(preset.rule),
            preset.recipe,
            preset.timesteps,
            preset.encoding,
            preset.readout,
            preset.options,
            preset.batch_norm,
            preset.dropout,
        )
    rule = RULES.get(name)
    return Way(
        rule, rule.recipe, rule.timesteps, rule.encoding, rule.readout, {}, rule.batch_norm, None
    )
