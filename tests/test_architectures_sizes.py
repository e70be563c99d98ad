"""Sizes of the papers' networks, and what no network can be built from."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from network.architectures import (
    Geometry,
    GeometryError,
    blueprint_of,
    build,
)
from network.architectures.blueprint import Bottleneck, Convolution, Residual, side_after
from network.registry import UnknownName
from tests.geometries import CIFAR, IMAGENET, MNIST, images, parameters


def test_lenet_parameters_of_table_4() -> None:
    # 28×28 → conv 28×28 → pool 14×14 → conv 14×14 → pool 7×7
    weights = 1 * 20 * 25 + 20 * 50 * 25 + 50 * 7 * 7 * 200 + 200 * 10
    assert weights == 500 + 25_000 + 490_000 + 2_000
    assert parameters(build("lenet", MNIST, batch_norm=False, seed=0)) == weights
    # batch norm: scale and shift for 20 and 50 channels and 200 units
    assert parameters(build("lenet", MNIST, seed=0)) == weights + 2 * (20 + 50 + 200)


def test_vgg9_parameters_of_table_5() -> None:
    pairs = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256)]
    convolutions = 9 * sum(inputs * outputs for inputs, outputs in pairs)
    # 9 · (192 + 4096 + 8192 + 16384 + 32768 + 65536 + 65536) = 9 · 192704
    assert convolutions == 1_734_336
    # three poolings: 32 → 4, so 256 · 4 · 4 = 4096 inputs of the first linear layer
    weights = convolutions + 4096 * 1024 + 1024 * 10
    assert parameters(build("vgg9", CIFAR, batch_norm=False, seed=0)) == weights
    # 64 + 64 + 128 + 128 + 256 + 256 + 256 channels, 1024 units
    assert parameters(build("vgg9", CIFAR, seed=0)) == weights + 2 * (1152 + 1024)


def test_resnet9_parameters_of_table_5() -> None:
    main = 9 * (3 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 512 * 512)
    skips = 64 * 128 + 128 * 256 + 256 * 512
    # 32 → pool 16 → 16 → 8 → 4, so 512 · 4 · 4 = 8192 inputs
    dense = 8192 * 1024 + 1024 * 10
    assert parameters(build("resnet9", CIFAR, batch_norm=False, seed=0)) == main + skips + dense


def test_resnet18_on_cifar_has_its_well_known_size() -> None:
    # 11,173,962 parameters: the CIFAR form of He's ResNet-18, with batch norm and 10 classes
    assert parameters(build("resnet18", CIFAR, seed=0)) == 11_173_962


def weights_of(layers: list[tuple[int, int, int]]) -> int:
    """Of convolutions, each as (inputs, outputs, side of the kernel)."""
    return sum(inputs * outputs * k * k for inputs, outputs, k in layers)


def shapes_of_activations(module: nn.Module) -> list[tuple[int, ...]]:
    """[C, H, W] behind every ReLU, in order, for CIFAR's images."""
    shapes: list[tuple[int, ...]] = []
    for layer in module.modules():
        if isinstance(layer, nn.ReLU):
            layer.register_forward_hook(lambda m, x, y: shapes.append(tuple(y.shape[1:])))
    module(images(CIFAR))
    return shapes


def test_airbench_halves_maps_with_even_windows() -> None:
    layers = [
        (3, 24, 3), (24, 64, 4), (64, 64, 3), (64, 256, 4), (256, 256, 3), (256, 256, 4),
        (256, 256, 3),
    ]  # fmt: skip
    weights = weights_of(layers) + 256 * 10
    module = build("airbench", CIFAR, seed=0)
    assert parameters(module) == weights + 2 * (24 + 64 + 64 + 4 * 256)
    assert shapes_of_activations(module) == [
        (24, 32, 32), (64, 16, 16), (64, 16, 16), (256, 8, 8), (256, 8, 8), (256, 4, 4),
        (256, 4, 4),
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "a", "b"), [("airbench94", 64, 256), ("airbench95", 128, 384)])
def test_networks_of_jordan_pool_currents(name: str, a: int, b: int) -> None:
    """The maps of Jordan 2024: 31 pixels after a window of 2, then 15, 7 and 3."""
    layers = [(3, 24, 2), (24, a, 3), (a, a, 3), (a, b, 3), (b, b, 3), (b, b, 3), (b, b, 3)]
    weights = weights_of(layers) + b * 10
    module = build(name, CIFAR, seed=0)
    assert parameters(module) == weights + 2 * (a + a + 4 * b)
    assert shapes_of_activations(module) == [
        (a, 15, 15), (a, 15, 15), (b, 7, 7), (b, 7, 7), (b, 3, 3), (b, 3, 3),
    ]  # fmt: skip
    assert isinstance(module.conv2_pool, nn.MaxPool2d)
    assert module.pool1.kernel_size == (3, 3)


@pytest.mark.parametrize("kernel", range(1, 8))
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("side", [7, 8, 12])
def test_the_side_of_a_map_is_what_torch_makes_of_it(kernel: int, stride: int, side: int) -> None:
    layer = nn.Conv2d(1, 1, kernel, stride, (kernel - 1) // 2)
    made = layer(torch.zeros(1, 1, side, side)).shape[-1]
    assert side_after(Convolution(1, kernel, stride), side) == made


def test_tables_follow_the_text_of_ledinauskas() -> None:
    layers = blueprint_of("plain13").layers
    assert layers[:4] == (
        Convolution(32, stride=2),
        Convolution(32),
        Convolution(32),
        Convolution(64, stride=2),
    )
    assert layers[-1] == Convolution(256)


def test_tables_follow_table_4_of_zheng() -> None:
    resnet17 = [layer for layer in blueprint_of("resnet17").layers if isinstance(layer, Residual)]
    first, *rest = [Residual(64, 2), *[Residual(64)] * 2, Residual(128, 2), *[Residual(128)] * 3]
    assert resnet17 == [first, *rest]
    large = blueprint_of("resnet50").layers_for(IMAGENET)
    assert large[:2] == (Convolution(64, kernel=7, stride=2), Bottleneck(64, 2))


def test_images_too_small_for_the_pooling() -> None:
    assert build("lenet", Geometry(1, 4, 4, 10), seed=0)(torch.zeros(2, 1, 4, 4)).shape == (2, 10)
    with pytest.raises(GeometryError) as error:
        build("lenet", Geometry(1, 3, 28, 10))
    assert str(error.value) == (
        "architecture 'lenet' needs images of at least 4×4 pixels; got 3×28"
    )
    # four poolings: 16 → 1
    with pytest.raises(GeometryError, match="at least 16×16 pixels; got 15×32"):
        build("vgg16", Geometry(3, 15, 32, 10))


@pytest.mark.parametrize("bad", [(0, 28, 28, 10), (1, 0, 28, 10), (1, 28, -1, 10), (1, 28, 28, 0)])
def test_geometry_must_be_positive(bad: tuple[int, int, int, int]) -> None:
    with pytest.raises(GeometryError, match="must be at least 1; got"):
        Geometry(*bad)


@pytest.mark.parametrize("width", [0.0, -1.0, float("inf"), float("nan")])
def test_width_out_of_range(width: float) -> None:
    with pytest.raises(ValueError, match="width must be a finite number above 0; got"):
        build("lenet", MNIST, width=width)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_dropout_out_of_range(dropout: float) -> None:
    with pytest.raises(ValueError, match="dropout must be at least 0 and below 1; got"):
        build("lenet", MNIST, dropout=dropout)


@pytest.mark.parametrize("name", ["lennet", "mlp", "mlp-", "mlp-0", "mlp-10-", "mlp-1.5"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(UnknownName, match=f"unknown architecture '{name}'"):
        build(name, MNIST)


def test_listing_loads_no_torch() -> None:
    code = (
        "import sys; from network.architectures import ARCHITECTURES, describe; "
        "[describe(name) for name in ARCHITECTURES]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
