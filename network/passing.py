"""Operations without synapses of their own: what each passes on, with every weight 1.

What is not named here cannot be counted where it reads spikes: its synapses would be missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from network.graph import NEAREST, Kind, kind_of

SUBTRACTIONS = {"sub", "isub", "subtract", "rsub"}
MULTIPLICATIONS = {"mul", "imul", "multiply"}
DIVISIONS = {"div", "divide", "truedivide", "truediv", "itruediv"}
AFFINE = SUBTRACTIONS | MULTIPLICATIONS | DIVISIONS | {"neg", "negative"}
# They move, copy, add up or leave out numbers, or read no more than the shape.
MOVES = {
    "pad", "interpolate", "upsample", "upsamplingnearest2d", "channelshuffle", "pixelshuffle",
    "pixelunshuffle", "flip", "roll", "chunk", "split", "stack", "expand", "repeat", "tile",
    "narrow", "select", "indexselect", "swapaxes", "movedim", "unbind", "sum", "zeroslike",
    "oneslike", "newzeros", "newones", "constantpad1d", "constantpad2d", "constantpad3d",
    "zeropad1d", "zeropad3d", "reflectionpad1d", "reflectionpad2d", "reflectionpad3d",
    "replicationpad1d", "replicationpad2d", "replicationpad3d", "circularpad1d", "circularpad2d",
    "circularpad3d",
}  # fmt: skip
CASTS = {"float", "double", "half", "bfloat16", "to", "type", "typeas", "cpu", "cuda"}
PRODUCTS = {
    "linear", "bilinear", "conv1d", "conv2d", "conv3d", "matmul", "bmm", "mm", "mv", "dot",
    "einsum", "tensordot", "addmm", "baddbmm", "scaleddotproductattention",
}  # fmt: skip

_INSTEAD = {
    "linear": "nn.Linear", "matmul": "nn.Linear", "mm": "nn.Linear", "addmm": "nn.Linear",
    "conv1d": "nn.Conv1d", "conv2d": "nn.Conv2d", "conv3d": "nn.Conv3d",
    "convtranspose2d": "nn.Upsample and nn.Conv2d", "batchnorm": "nn.BatchNorm2d",
    "syncbatchnorm": "nn.BatchNorm2d", "groupnorm": "nn.BatchNorm2d",
    "layernorm": "nn.BatchNorm1d", "instancenorm2d": "nn.BatchNorm2d",
    "avgpool1d": "nn.AvgPool1d", "avgpool2d": "nn.AvgPool2d or nn.AdaptiveAvgPool2d",
    "maxpool1d": "nn.MaxPool1d", "maxpool2d": "nn.MaxPool2d",
    "amax": "nn.AdaptiveMaxPool2d", "max": "nn.MaxPool2d", "mean": "nn.AdaptiveAvgPool2d",
}  # fmt: skip


def name_of(body: nn.Module, node: fx.Node) -> str:
    """The operation's name in small letters alone: 'channelshuffle' for module and function."""
    target = node.target
    if node.op == "call_module":
        target = type(body.get_submodule(str(target))).__name__
    return str(getattr(target, "__name__", target)).replace("_", "").lower()


def instead(name: str) -> str:
    """What to write for an operation of that name, ': write it as …', or nothing."""
    return f": write it as {_INSTEAD[name]}" if name in _INSTEAD else ""


def passed_on(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], varying: Sequence[Tensor]
) -> Tensor | None:
    """What a scaling or shift by constants, a difference, a mean or a cast lets through; None for
    any other function. varying: those of the arguments that are no constants."""
    if name in CASTS:
        cast: Tensor = args[0]
        return cast if cast.is_floating_point() else cast.double()  # of a comparison
    if name == "mean":
        settings = {key: value for key, value in kwargs.items() if key != "dtype"}
        summed: Tensor = args[0].sum(*args[1:], **settings)
        return summed
    if name not in AFFINE or not varying or (len(varying) > 1 and name not in SUBTRACTIONS):
        return None
    given = (*args, *kwargs.values())
    shape = torch.broadcast_shapes(*(a.shape for a in given if isinstance(a, Tensor)))
    return sum(varying, torch.zeros(shape, dtype=torch.float64))


def moves(body: nn.Module, node: fx.Node) -> bool:
    """Whether the operation computes no number; an upsampling only where it copies the nearest."""
    name = name_of(body, node)
    mode: Any = "nearest"
    if name == "upsample":
        mode = body.get_submodule(str(node.target)).mode if node.op == "call_module" else None
    elif name == "interpolate":
        mode = node.args[3] if len(node.args) > 3 else node.kwargs.get("mode", "nearest")
    return name in MOVES and mode in NEAREST


def has_weights(body: nn.Module, node: fx.Node) -> bool:
    """Whether a module of this node keeps numbers, or its function multiplies two tensors."""
    if node.op != "call_module":
        return name_of(body, node) in PRODUCTS
    return bool(body.get_submodule(str(node.target)).state_dict())


def are_whole(body: fx.GraphModule, node: fx.Node) -> bool:
    """Whether the node's values are numbers of spikes: nothing has averaged or scaled them."""
    kind = kind_of(body, node)
    if kind in (Kind.INPUT, Kind.NEURON, Kind.CONSTANT):
        return True
    kept = kind in (Kind.SHAPE, Kind.JOIN, Kind.SUM, Kind.DROPOUT, Kind.MAX_POOL)
    return (
        (kept or (kind is Kind.OTHER and moves(body, node)))
        and "alpha" not in node.kwargs
        and all(are_whole(body, source) for source in node.all_input_nodes)
    )
