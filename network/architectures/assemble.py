"""From a blueprint to a module: torch layers, one ReLU module per activation."""

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from network.architectures.blueprint import (
    Blueprint,
    Bottleneck,
    Convolution,
    Dense,
    Geometry,
    GlobalPooling,
    Layer,
    Pooling,
    Residual,
    side_after,
)
from network.functional import Pointwise

Named = Iterator[tuple[str, nn.Module]]

SHORTCUT_NAMES = frozenset({"shortcut", "downsample"})  # ours; torchvision's and timm's


@dataclass(frozen=True)
class Style:
    """What holds for every layer of one network: width factor, batch norm, dropout, bias."""

    width: float
    batch_norm: bool
    dropout: float
    bias: bool

    def scale(self, channels: int) -> int:
        return max(1, round(channels * self.width))


@dataclass(frozen=True)
class MapShape:
    """Shape of one image's activations; a flat vector has height and width 1."""

    channels: int
    height: int
    width: int

    @property
    def size(self) -> int:
        return self.channels * self.height * self.width

    def after(self, layer: Layer, channels: int) -> "MapShape":
        return MapShape(channels, side_after(layer, self.height), side_after(layer, self.width))


class ResidualBlock(nn.Module):
    """relu(main(x) + shortcut(x)): both paths meet in the input current of the last neuron."""

    def __init__(self, main: nn.Sequential, shortcut: nn.Module) -> None:
        super().__init__()
        self.main = main
        self.shortcut = shortcut
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.main(x) + self.shortcut(x))
        return out


def assemble(
    blueprint: Blueprint,
    geometry: Geometry,
    *,
    width: float,
    batch_norm: bool,
    dropout: float,
    generator: torch.Generator,
) -> nn.Sequential:
    """Network `[B, C, H, W]` → class scores `[B, K]`, initialised from the generator.

    Dropout follows every hidden fully connected layer, or stands in front of the output layer
    where there is none. Construction leaves torch's global generator untouched.
    """
    style = Style(width, batch_norm, dropout, blueprint.bias)
    with torch.device("meta"):
        module = nn.Sequential(OrderedDict(_modules(blueprint, geometry, style)))
    module.to_empty(device="cpu")
    initialise(module, blueprint.kappa, generator)
    return module


@torch.no_grad()
def initialise(module: nn.Module, kappa: float, generator: torch.Generator) -> None:
    """Weights from N(0, kappa / fan-in), biases 0, batch norm as the identity.

    kappa = 2 is Kaiming's normal initialisation for ReLUs (He 2015); Lee 2020, section 4.1, takes
    1 for residual networks. Layers draw in the order in which the network runs them.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = layer.weight[0].numel()
            layer.weight.normal_(0.0, math.sqrt(kappa / fan_in), generator=generator)
            if layer.bias is not None:
                layer.bias.zero_()
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.reset_parameters()


def depth_of(module: nn.Module) -> int:
    """Convolutions and linear layers on the main path; those of shortcuts do not count."""
    return sum(
        isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear)
        and SHORTCUT_NAMES.isdisjoint(name.split("."))
        for name, layer in module.named_modules()
    )


def _modules(blueprint: Blueprint, geometry: Geometry, style: Style) -> Named:
    """Every layer of the network with its name, the output layer last."""
    layers = blueprint.layers_for(geometry)
    shape = MapShape(geometry.channels, geometry.height, geometry.width)
    flat = False
    numbers: dict[str, int] = {}
    for layer in layers:
        if isinstance(layer, Dense) and not flat:
            yield "flatten", nn.Flatten()
            flat = True
        prefix = _prefix(layer)
        numbers[prefix] = numbers.get(prefix, 0) + 1
        yield from _layer(f"{prefix}{numbers[prefix]}", layer, shape, style)
        shape = shape.after(layer, _channels_after(layer, shape.channels, style))
    if not flat:
        yield "flatten", nn.Flatten()
        if style.dropout > 0:
            yield "dropout", nn.Dropout(style.dropout)
    yield "output", nn.Linear(shape.size, geometry.classes, bias=style.bias)


def _prefix(layer: Layer) -> str:
    match layer:
        case Convolution():
            return "conv"
        case Residual() | Bottleneck():
            return "block"
        case Dense():
            return "dense"
        case Pooling() | GlobalPooling():
            return "pool"


def _channels_after(layer: Layer, channels: int, style: Style) -> int:
    match layer:
        case Convolution() | Residual():
            return style.scale(layer.channels)
        case Bottleneck():
            return style.scale(layer.channels) * layer.expansion
        case Dense():
            return style.scale(layer.units)
        case Pooling() | GlobalPooling():
            return channels


def _layer(name: str, layer: Layer, shape: MapShape, style: Style) -> Named:
    """Modules of one layer of the blueprint, with their names."""
    channels = _channels_after(layer, shape.channels, style)
    match layer:
        case Convolution():
            yield from _convolution(
                name,
                shape.channels,
                channels,
                layer.kernel,
                layer.stride,
                replace(style, batch_norm=style.batch_norm and layer.norm),
                max_pool=layer.max_pool,
            )
            if layer.activation:
                yield f"{name}_relu", nn.ReLU()
        case Residual() | Bottleneck():
            yield name, _block(layer, shape.channels, channels, style)
        case Dense():
            yield name, nn.Linear(shape.size, channels, bias=style.bias and not style.batch_norm)
            if style.batch_norm:
                yield f"{name}_norm", nn.BatchNorm1d(channels)
            yield f"{name}_relu", nn.ReLU()
            if style.dropout > 0:
                yield f"{name}_dropout", nn.Dropout(style.dropout)
        case Pooling():
            yield name, nn.AvgPool2d(layer.size)
        case GlobalPooling():
            kind = nn.MaxPool2d if layer.maximum else nn.AvgPool2d
            yield name, kind((shape.height, shape.width))


def _convolution(
    name: str,
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int,
    style: Style,
    *,
    max_pool: int = 1,
) -> Named:
    """A convolution, max pooling where there is any, and batch norm where the style has one."""
    bias = style.bias and not style.batch_norm
    kind = Pointwise if kernel == 1 and stride > 1 else nn.Conv2d
    yield name, kind(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=bias)
    if max_pool > 1:
        yield f"{name}_pool", nn.MaxPool2d(max_pool)
    if style.batch_norm:
        yield f"{name}_norm", nn.BatchNorm2d(outputs)


def _block(layer: Residual | Bottleneck, inputs: int, outputs: int, style: Style) -> ResidualBlock:
    """Main path with a ReLU between its convolutions, and the shortcut that its shape needs."""
    inner = style.scale(layer.channels)
    if isinstance(layer, Residual):
        steps = [(outputs, 3, layer.first_stride), (outputs, 3, layer.last_stride)]
    else:
        steps = [(inner, 1, 1), (inner, 3, layer.stride), (outputs, 1, 1)]
    main: OrderedDict[str, nn.Module] = OrderedDict()
    channels = inputs
    for number, (width, kernel, stride) in enumerate(steps, start=1):
        main.update(_convolution(f"conv{number}", channels, width, kernel, stride, style))
        if number < len(steps):
            main[f"conv{number}_relu"] = nn.ReLU()
        channels = width
    shortcut: nn.Module = nn.Identity()
    if inputs != outputs or layer.stride != 1:
        shortcut = nn.Sequential(
            OrderedDict(_convolution("conv", inputs, outputs, 1, layer.stride, style))
        )
    return ResidualBlock(nn.Sequential(main), shortcut)
