"""What expanding a study needs to know of conversions, rules and presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from compare import catalogue
from compare.study import QUANTISED_ANN, Arm
from compare.ways import way_of


@dataclass(frozen=True)
class MethodFacts:
    """What expanding a study needs to know of a method (`method_facts` tells).

    ann: method name of the ANN it starts from, or None; with `starts`, of the conversion it starts
        from where none is named.
    starts: conversion it may start from -> method name of that one's ANN.
    """

    arm: Arm
    ann: str | None
    train_timesteps: tuple[int, ...] | None
    encoding: str | None
    batch_norm: bool | None = None  # what it demands of the architecture; None: the study's
    dropout: float | None = None
    norm_of_rule: bool | None = None  # whether its rule always or never has batch norm
    starts: Mapping[str, str] = field(default_factory=dict)


def method_facts(names: list[str]) -> dict[str, MethodFacts]:
    """Facts of conversions, rules and presets by registered name (loads torch)."""
    from conversion import CONVERSIONS

    starts = {
        name: QUANTISED_ANN if CONVERSIONS.get(name).ann == "qcfs" else "ann"
        for name in CONVERSIONS.names()
    }
    facts = {}
    for name in names:
        if catalogue.is_conversion(name):
            facts[name] = MethodFacts("converted", starts[name], None, None)
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
                starts if way.rule.needs_conversion else {},
            )
    return facts
