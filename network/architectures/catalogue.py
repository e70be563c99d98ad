"""The registry of architectures and the look-up of parametric names."""

import re
from dataclasses import dataclass

from network.architectures.blueprint import Blueprint, Dense
from network.registry import Registry

ARCHITECTURES: Registry[Blueprint] = Registry("architecture")

_PERCEPTRON = re.compile(r"mlp(-[1-9][0-9]*)+")


@dataclass(frozen=True)
class Description:
    """What a name stands for; depth is the number of trainable layers on the main path."""

    summary: str
    source: str
    depth: int


def perceptron(*units: int) -> Blueprint:
    """Fully connected network on flattened images, for permutation-invariant tasks."""
    return Blueprint(
        summary=f"fully connected, hidden layers of {', '.join(map(str, units))} units",
        source="Lee 2016, section 6 (permutation-invariant MNIST)",
        layers=tuple(Dense(width) for width in units),
    )


def is_perceptron(name: str) -> bool:
    """Whether the name is mlp-H-H, with any number of widths from 1 on."""
    return _PERCEPTRON.fullmatch(name) is not None


def blueprint_of(name: str) -> Blueprint:
    """Blueprint of a registered name or of mlp-H-H with any widths; raises UnknownName."""
    if name not in ARCHITECTURES and is_perceptron(name):
        return perceptron(*(int(width) for width in name.split("-")[1:]))
    return ARCHITECTURES.get(name)


def describe(name: str) -> Description:
    """Summary, source and depth of an architecture, without building it; raises UnknownName."""
    blueprint = blueprint_of(name)
    return Description(blueprint.summary, blueprint.source, blueprint.depth)
