"""Architectures as data: layers in order, without torch, so that they can be listed and counted."""

from dataclasses import dataclass
from itertools import count
from typing import ClassVar

LARGE_IMAGE = 64  # pixels; images with a longer side get the ImageNet form of a network


class GeometryError(ValueError):
    """Images or classes that a network cannot be built for."""


@dataclass(frozen=True)
class Geometry:
    """Shape of the images and number of classes that a network is built for."""

    channels: int
    height: int
    width: int
    classes: int

    def __post_init__(self) -> None:
        for name in ("channels", "height", "width", "classes"):
            value = getattr(self, name)
            if value < 1:
                raise GeometryError(f"geometry: {name} must be at least 1; got {value}")

    @property
    def is_large(self) -> bool:
        return max(self.height, self.width) > LARGE_IMAGE


@dataclass(frozen=True)
class Convolution:
    """Square kernel padded by (kernel − 1) // 2, so that odd ones keep the size at stride 1, and
    even ones halve an even size at stride 2; ReLU after it.

    max_pool: windows that its currents, in front of batch norm and ReLU, are the maximum over.
    norm: whether batch norm follows it where the network has batch norm.
    activation: whether a ReLU does; without one it is part of how images are read.
    """

    channels: int
    kernel: int = 3
    stride: int = 1
    max_pool: int = 1
    norm: bool = True
    activation: bool = True
    depth: ClassVar[int] = 1


@dataclass(frozen=True)
class Pooling:
    """Average over windows that do not overlap; a remainder at the border is left out."""

    size: int = 2
    depth: ClassVar[int] = 0


@dataclass(frozen=True)
class GlobalPooling:
    """Average over the whole map, or its maximum."""

    maximum: bool = False
    depth: ClassVar[int] = 0


@dataclass(frozen=True)
class Residual:
    """Two 3×3 convolutions beside a shortcut; the second ReLU comes after the addition.

    The shortcut is the identity where shapes agree, else a 1×1 convolution of the same stride
    (Lee 2020, fig. 3b). Lee strides in the last convolution, He and Zheng in the first.
    """

    channels: int
    first_stride: int = 1
    last_stride: int = 1
    depth: ClassVar[int] = 2

    @property
    def stride(self) -> int:
        return self.first_stride * self.last_stride


@dataclass(frozen=True)
class Bottleneck:
    """1×1, 3×3 (strided) and 1×1 convolution to four times the channels, beside a shortcut."""

    channels: int
    stride: int = 1
    depth: ClassVar[int] = 3
    expansion: ClassVar[int] = 4


@dataclass(frozen=True)
class Dense:
    """Fully connected layer with a ReLU."""

    units: int
    depth: ClassVar[int] = 1


Layer = Convolution | Pooling | GlobalPooling | Residual | Bottleneck | Dense


@dataclass(frozen=True)
class Blueprint:
    """Hidden layers of a network in order; one linear output layer always follows them.

    large_image_layers: the layers for images longer than LARGE_IMAGE, where they differ.
    bias: whether layers without batch norm, the output layer among them, have a bias.
    kappa: initial weights are drawn from N(0, kappa / fan-in).
    """

    summary: str
    source: str
    layers: tuple[Layer, ...]
    large_image_layers: tuple[Layer, ...] | None = None
    bias: bool = True
    kappa: float = 2.0

    @property
    def depth(self) -> int:
        """Trainable layers on the main path: hidden ones and the output layer."""
        return sum(layer.depth for layer in self.layers) + 1

    def layers_for(self, geometry: Geometry) -> tuple[Layer, ...]:
        if geometry.is_large and self.large_image_layers is not None:
            return self.large_image_layers
        return self.layers


def side_after(layer: Layer, side: int) -> int:
    """Height or width of a map after a layer; 0 where a pooling window does not fit."""
    if isinstance(layer, Pooling):
        return side // layer.size
    if isinstance(layer, Convolution | Residual | Bottleneck):
        # ⌊(n + 2·⌊(k−1)/2⌋ − k) / s⌋ + 1: odd k leave n − 1, even ones n − 2; strides multiply
        even = isinstance(layer, Convolution) and layer.kernel % 2 == 0
        side = (side - (2 if even else 1)) // layer.stride + 1
        return side // layer.max_pool if isinstance(layer, Convolution) else side
    return 1


def check_fits(name: str, blueprint: Blueprint, geometry: Geometry) -> None:
    """Raises GeometryError where a pooling window meets a map smaller than itself."""
    layers = blueprint.layers_for(geometry)
    if not _fits(layers, min(geometry.height, geometry.width)):
        smallest = next(side for side in count(1) if _fits(layers, side))
        raise GeometryError(
            f"architecture '{name}' needs images of at least {smallest}×{smallest} pixels; "
            f"got {geometry.height}×{geometry.width}"
        )


def _fits(layers: tuple[Layer, ...], side: int) -> bool:
    for layer in layers:
        side = side_after(layer, side)
        if side == 0:
            return False
    return True
