"""Images that the architectures are built for, for tests."""

import torch
from torch import nn

from network.architectures import Geometry

MNIST = Geometry(1, 28, 28, 10)
EVENTS = Geometry(2, 34, 34, 10)
CIFAR = Geometry(3, 32, 32, 10)
TINY_IMAGENET = Geometry(3, 64, 64, 200)
IMAGENET = Geometry(3, 224, 224, 1000)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def images(geometry: Geometry, batch: int = 2) -> torch.Tensor:
    shape = (batch, geometry.channels, geometry.height, geometry.width)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))
