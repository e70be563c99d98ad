"""Architectures: plain modules with ReLUs, average pooling and optional batch norm.

One module serves as ANN and as SNN: nothing here knows of spikes. Tables (vgg, resnet, plain,
small) are data and load no torch; `build` turns one into a module that torch.fx can trace.
"""

from typing import TYPE_CHECKING

from network.architectures import plain, resnet, small, vgg  # noqa: F401  (they register)
from network.architectures.blueprint import Blueprint, Geometry, GeometryError, check_fits
from network.architectures.catalogue import (
    ARCHITECTURES,
    Description,
    blueprint_of,
    describe,
    is_perceptron,
)

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "ARCHITECTURES",
    "Blueprint",
    "Description",
    "Geometry",
    "GeometryError",
    "blueprint_of",
    "build",
    "depth_of",
    "describe",
    "is_perceptron",
]


def build(
    name: str,
    geometry: Geometry,
    *,
    width: float = 1.0,
    batch_norm: bool = True,
    dropout: float = 0.0,
    seed: int | None = None,
) -> "nn.Module":
    """Network `[B, C, H, W]` → class scores `[B, K]`; the same seed gives the same weights.

    width: factor on every number of hidden channels and units (rounded, at least 1).
    batch_norm: after every convolution and linear layer but the output layer; these layers then
        have no bias, and without it they have one where the paper's network has one.
    dropout: probability; after every hidden fully connected layer, or in front of the output
        layer where there is none.
    seed: None draws a fresh one; torch's global generator is never used.

    Raises UnknownName, GeometryError where the image is too small for the pooling, and ValueError
    for a width or a dropout out of range.
    """
    if not 0 < width < float("inf"):
        raise ValueError(f"width must be a finite number above 0; got {width}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be at least 0 and below 1; got {dropout}")
    blueprint = blueprint_of(name)
    check_fits(name, blueprint, geometry)

    import torch  # here, so that listing architectures loads no torch

    from network.architectures.assemble import assemble

    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return assemble(
        blueprint,
        geometry,
        width=width,
        batch_norm=batch_norm,
        dropout=dropout,
        generator=generator,
    )


def depth_of(module: "nn.Module") -> int:
    """Convolutions and linear layers on the main path; those of shortcuts do not count."""
    from network.architectures import assemble

    return assemble.depth_of(module)
