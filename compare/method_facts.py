"""What expanding a study needs to know of conversions, rules and presets."""

from __future__ import annotations

from dataclasses import dataclass

from compare import catalogue
from compare.study import QUANTISED_ANN, Arm
from compare.ways import way_of


@dataclass(frozen=True)
class MethodFacts:
    """What expanding a study needs to know of a method (`method_facts` tells)."""

    arm: Arm
    ann: str | None  # method name of the ANN it starts from, or None
    train_timesteps: tuple[int, ...] | None
    encoding: str | None
    batch_norm: bool | None = None  # what it demands of the architecture; None: the study's
    dropout: float | None = None
    norm_of_rule: bool | None = None  # whether its rule always or never has batch norm


def method_facts(names: list[str]) -> dict[str, MethodFacts]:
    """Facts of conversions, rules and presets by registered name (loads torch)."""
    from conversion import CONVERSIONS

    facts = {}
    for name in names:
        if catalogue.is_conversion(name):
            method = CONVERSIONS.get(name)
            ann = QUANTISED_ANN if method.ann == "qcfs" else "ann"
            facts[name] = MethodFacts("converted", ann, None, None)
        else:
            way = way_of(name)
            facts[name] = MethodFacts(
                "direct",
                "ann" if way.rule.needs_conversion else None,
                (way.timesteps,),
                None if way.encoding == "constant" else way.encoding,
                way.batch_norm,
                way.dropout,
                way.rule.batch_norm,
            )
    return facts
