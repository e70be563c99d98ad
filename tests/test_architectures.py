"""One contract over every registered architecture, and the papers' tables by hand."""

import pytest
import torch
from torch import fx, nn

from network.architectures import (
    ARCHITECTURES,
    Geometry,
    build,
    depth_of,
    describe,
)
from network.functional import Pointwise
from tests.geometries import CIFAR, EVENTS, IMAGENET, MNIST, TINY_IMAGENET, images

NAMES = [*ARCHITECTURES.names(), "mlp-30-20-10"]

REQUIRED = """lenet vgg5 vgg6 vgg7 vgg9 vgg11 vgg16 resnet7 resnet9 resnet11 plain3 plain4 plain5
plain9 plain13 plain20 mnist-cnn airbench airbench94 airbench95 resnet17 resnet18 resnet19 resnet34
resnet50 mlp-300-300"""

WITHOUT_NORM = {
    ("airbench94", "conv1"),
    ("airbench95", "conv1"),
}  # whitened instead, in Jordan 2024
NAMED = {
    "lenet": 4,
    "mnist-cnn": 4,
    "airbench": 8,
    "airbench94": 8,
    "airbench95": 8,
}  # depth, where no number in the name says it


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch_norm", [True, False])
def test_contract_of_every_architecture(name: str, batch_norm: bool) -> None:
    geometry = MNIST
    module = build(name, geometry, width=0.125, batch_norm=batch_norm, dropout=0.2, seed=1)
    torch.manual_seed(0)  # of dropout: narrow layers can be dropped whole
    scores = module(images(geometry, batch=4))
    assert scores.shape == (4, 10)
    assert scores.isfinite().all()

    scores.square().sum().backward()
    for label, parameter in module.named_parameters():
        assert parameter.grad is not None, label
        assert parameter.grad.isfinite().all(), label
        assert parameter.grad.any() or not batch_norm, label
    assert depth_of(module) == describe(name).depth

    traced = fx.GraphModule(module, _Layers().trace(module))
    assert torch.equal(traced.eval()(images(geometry)), module.eval()(images(geometry)))
    calls = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    assert len(calls) == len(set(calls)), "a module is used twice"
    leaves = {label for label, leaf in module.named_modules() if not list(leaf.children())}
    assert set(calls) == leaves, "a module is never used"
    _assert_layers(name, module, traced, batch_norm)


class _Layers(fx.Tracer):
    """Our own convolution is a layer as torch's are."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Pointwise) or super().is_leaf_module(m, module_qualified_name)


def _after(node: fx.Node, module: nn.Module) -> nn.Module | None:
    """The one module that reads a layer's currents, pooled or not; None: something else does."""
    (user,) = node.users
    if user.op != "call_module":
        return None
    layer = module.get_submodule(str(user.target))
    return _after(user, module) if isinstance(layer, nn.MaxPool2d) else layer


def _assert_layers(name: str, module: nn.Module, traced: fx.GraphModule, batch_norm: bool) -> None:
    """Activations are ReLU modules; batch norm follows all weights but the output's, or none."""
    allowed = (
        *(nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.BatchNorm1d, nn.ReLU),
        *(nn.AvgPool2d, nn.MaxPool2d),
    )
    for node in traced.graph.nodes:
        if node.op in {"placeholder", "output"}:
            continue
        if node.op == "call_function":
            assert node.target.__name__ == "add"
            (user,) = node.users
            assert isinstance(module.get_submodule(str(user.target)), nn.ReLU)
            continue
        layer = module.get_submodule(str(node.target))
        assert isinstance(layer, (*allowed, nn.Flatten, nn.Dropout, nn.Identity)), node.target
        if not isinstance(layer, nn.Conv2d | nn.Linear) or node.target == "output":
            continue
        follows = _after(node, module)
        expected = batch_norm and (name, node.target) not in WITHOUT_NORM
        assert isinstance(follows, nn.BatchNorm1d | nn.BatchNorm2d) == expected, node.target
        if batch_norm:
            assert layer.bias is None, node.target


def test_every_required_name_is_registered() -> None:
    assert set(REQUIRED.split()) <= set(ARCHITECTURES.names())


@pytest.mark.parametrize("name", ARCHITECTURES.names())
def test_number_in_the_name_is_the_depth(name: str) -> None:
    described = describe(name)
    assert described.summary
    assert described.source
    if name.startswith("mlp"):
        expected = name.count("-") + 1  # one hidden layer for each width, and the output
    elif name in NAMED:
        expected = NAMED[name]
    else:
        expected = int("".join(filter(str.isdigit, name)))
    assert described.depth == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("geometry", [EVENTS, CIFAR, TINY_IMAGENET, IMAGENET])
def test_shapes_of_scores(name: str, geometry: Geometry) -> None:
    # Shapes do not need values: parameters and images live on the meta device.
    module = build(name, geometry, width=1 / 64, seed=0).eval().to("meta")
    assert module(images(geometry).to("meta")).shape == (2, geometry.classes)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "vgg11", "vgg16"])
def test_both_forms_of_a_network_have_the_same_depth(name: str) -> None:
    module = build(name, IMAGENET, width=1 / 64, seed=0)
    assert depth_of(module) == describe(name).depth


def sides_after_blocks(module: nn.Module, geometry: Geometry) -> dict[str, int]:
    """Side of the map that leaves each residual block."""
    sides: dict[str, int] = {}
    x = images(geometry).to("meta")
    for label, layer in module.eval().to("meta").named_children():
        x = layer(x)
        if label.startswith("block"):
            sides[label] = x.shape[-1]
    return sides


@pytest.mark.parametrize("name", ["resnet34", "resnet50"])
@pytest.mark.parametrize(
    ("geometry", "expected"),
    [
        (CIFAR, [32, 16, 8, 4]),  # stem 32; the first stage keeps the size
        (TINY_IMAGENET, [64, 32, 16, 8]),
        (IMAGENET, [56, 28, 14, 7]),  # stem 112; every stage halves
    ],
)
def test_zheng_stem_follows_the_image_size(
    name: str, geometry: Geometry, expected: list[int]
) -> None:
    module = build(name, geometry, width=1 / 64, seed=0)
    stem = module.get_submodule("conv1")
    assert isinstance(stem, nn.Conv2d)
    form = ((7, 7), (2, 2)) if geometry is IMAGENET else ((3, 3), (1, 1))
    assert (stem.kernel_size, stem.stride) == form
    sides = sides_after_blocks(module, geometry)
    # stages of 3, 4, 6 and 3 blocks end with blocks 3, 7, 13 and 16
    assert [sides[f"block{last}"] for last in (3, 7, 13, 16)] == expected


def test_shortcut_is_the_identity_exactly_where_shapes_agree() -> None:
    module = build("resnet19", CIFAR, width=0.125, seed=0)
    kinds = [
        type(child.get_submodule("shortcut")).__name__
        for label, child in module.named_children()
        if label.startswith("block")
    ]
    # 128 ×3 without stride, 256 ×3, 512 ×2: the first block of the later stages projects
    assert kinds == ["Identity"] * 3 + ["Sequential", "Identity", "Identity"] + [
        "Sequential",
        "Identity",
    ]


def test_lee_blocks_stride_in_the_last_convolution_and_the_shortcut() -> None:
    block = build("resnet11", CIFAR, width=0.125, seed=0).get_submodule("block4")
    strides = {
        label: layer.stride
        for label, layer in block.named_modules()
        if isinstance(layer, nn.Conv2d)
    }
    assert strides == {"main.conv1": (1, 1), "main.conv2": (2, 2), "shortcut.conv": (2, 2)}


def test_residual_block_adds_before_its_relu() -> None:
    block = build("resnet18", CIFAR, width=0.125, batch_norm=False, seed=0).get_submodule("block1")
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x = torch.tensor([-1.0, 2.0]).view(1, 1, 1, 2).expand(1, 8, 1, 2)
    # the main path is 0 and the shortcut the identity: relu(0 + x)
    assert block(x)[0, 0, 0].tolist() == [0.0, 2.0]


def test_seed_decides_the_weights_and_nothing_global_is_drawn() -> None:
    before = torch.random.get_rng_state()
    first, again, other, fresh, fresher = (
        build("resnet7", CIFAR, width=0.25, seed=seed).state_dict()
        for seed in (3, 3, 4, None, None)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    for one, two in ((first, other), (fresh, fresher)):
        assert not torch.equal(one["conv1.weight"], two["conv1.weight"])


@pytest.mark.parametrize(("name", "kappa"), [("vgg9", 2.0), ("resnet9", 1.0)])
def test_weights_start_with_variance_kappa_over_fan_in(name: str, kappa: float) -> None:
    module = build(name, CIFAR, width=0.5, batch_norm=False, seed=0)
    checked = 0
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.numel() > 50_000:
            fan_in = layer.weight[0].numel()
            # the variance of n normal numbers has relative deviation √(2/n) < 0.0064 here
            assert layer.weight.var().item() == pytest.approx(kappa / fan_in, rel=0.03)
            checked += 1
    assert checked >= 3


def test_width_scales_hidden_layers_only() -> None:
    module = build("lenet", MNIST, width=0.5, seed=0)
    shapes = [
        tuple(layer.weight.shape)
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    # 10 and 25 channels, 25 · 7 · 7 = 1225 inputs, 100 units
    assert shapes == [(10, 1, 5, 5), (25, 10, 5, 5), (100, 1225), (10, 100)]
    narrowest = build("lenet", MNIST, width=1e-6, seed=0)
    assert narrowest(images(MNIST)).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "expected"), [("lenet", ["dense1_dropout"]), ("plain3", ["dropout"])]
)
def test_dropout_stands_before_the_output(name: str, expected: list[str]) -> None:
    with_dropout = build(name, CIFAR, width=0.1, dropout=0.5, seed=0)
    found = [label for label, m in with_dropout.named_modules() if isinstance(m, nn.Dropout)]
    assert found == expected
    without = build(name, CIFAR, width=0.1, seed=0)
    assert not any(isinstance(m, nn.Dropout) for m in without.modules())


def test_bias_follows_the_paper_where_there_is_no_batch_norm() -> None:
    lee = build("lenet", MNIST, batch_norm=False, seed=0)
    ledinauskas = build("plain3", CIFAR, batch_norm=False, seed=0)
    assert not [name for name, _ in lee.named_parameters() if name.endswith("bias")]
    biases = {n: p for n, p in ledinauskas.named_parameters() if n.endswith("bias")}
    assert set(biases) == {"conv1.bias", "conv2.bias", "output.bias"}
    assert all(bias.eq(0).all() for bias in biases.values())


def test_depth_does_not_count_projections_of_foreign_networks() -> None:
    block = nn.Module()
    block.conv = nn.Conv2d(1, 2, 3)
    block.downsample = nn.Sequential(nn.Conv2d(1, 2, 1))
    assert depth_of(block) == 1


@pytest.mark.parametrize("channels", [3, 4, 6, 13])
def test_a_strided_shortcut_is_the_convolution_that_it_stands_for(channels: int) -> None:
    """Backward too, in channels last, where torch's own has written past its memory."""
    torch.manual_seed(0)
    own = Pointwise(channels, 8, 1, stride=2).to(memory_format=torch.channels_last)
    plain = nn.Conv2d(channels, 8, 1, stride=2).double()
    plain.load_state_dict(own.state_dict())
    x = torch.randn(32, channels, 16, 16).to(memory_format=torch.channels_last)
    x.requires_grad_()
    y = x.detach().double().contiguous().requires_grad_()
    ours = torch.autograd.grad(own(x).square().sum(), [x, *own.parameters()])
    theirs = torch.autograd.grad(plain(y).square().sum(), [y, *plain.parameters()])
    torch.testing.assert_close(own(x).double(), plain(y), rtol=1e-5, atol=1e-5)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)
