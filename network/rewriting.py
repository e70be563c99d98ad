"""Calls of a traced network in the one spelling that the rest of the code reads."""

from __future__ import annotations

from inspect import signature

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from network.functional import FUNCTIONS, square_average
from network.sizes import are_sides_of, is_number_of_images, is_side_of

JOINS = (torch.cat, torch.concat, torch.concatenate)
# Comparisons and casts, whose values a layer cannot take as they are.
NOT_FLOATS = {
    "gt", "ge", "lt", "le", "eq", "ne", "greater", "greater_equal", "less", "less_equal",
    "not_equal", "logical_and", "logical_or", "logical_xor", "logical_not", "invert", "and", "or",
    "xor", "bitwise_not", "bitwise_and", "bitwise_or", "bitwise_xor", "isclose",
    "bool", "int", "long", "short", "byte", "char", "to", "type", "double", "half", "bfloat16",
    "argmax", "argmin",
}  # fmt: skip


def squeeze_images(x: Tensor) -> Tensor:
    """x [B, ...] without its axes of length 1, the one of the images kept."""
    return x.squeeze(tuple(axis for axis in range(1, x.ndim) if x.shape[axis] == 1))


def keep_images(x: Tensor, *sizes: int) -> Tensor:
    """x [B, ...] as [B, *sizes], one of them -1 at most, however many images B there are."""
    return x.reshape(len(x), *sizes)


def spell_out(node: fx.Node) -> None:
    """One spelling for calls that say the same.

    What a call reads is its first argument, not a keyword. `view` is `reshape`, which takes every
    layout in memory, and `flatten` where it keeps the images and nothing else; where it names the
    number of images, it keeps them however many they are, as `squeeze` without an axis does. Every
    concatenation is `torch.cat`.
    """
    if node.op in ("call_function", "call_module") and not node.args and "input" in node.kwargs:
        node.args = (node.kwargs["input"],)
        node.kwargs = {key: value for key, value in node.kwargs.items() if key != "input"}
    if node.target in JOINS:
        _respell_join(node)
    if node.target in ("view", "reshape", torch.reshape) and node.op != "call_module":
        _respell_view(node)
    elif node.target in ("squeeze", torch.squeeze) and len(node.args) == 1 and not node.kwargs:
        node.op, node.target = "call_function", squeeze_images
    elif node.target is F.avg_pool2d:
        _respell_pool(node)
    elif node.target == "float" and len(node.args) == 1:
        value = node.args[0]
        if isinstance(value, fx.Node) and _is_float(value):
            node.replace_all_uses_with(value)


def _is_float(value: fx.Node) -> bool:
    """Whether a value is of floats as it is: networks compute in them, but for comparisons."""
    name = str(getattr(value.target, "__name__", value.target))
    return name.strip("_") not in NOT_FLOATS


def _respell_join(node: fx.Node) -> None:
    """torch.cat(parts, axis), however it names them."""
    named = dict(node.kwargs)
    parts = node.args[0] if node.args else named.pop("tensors", None)
    axis = node.args[1] if len(node.args) > 1 else named.pop("axis", named.pop("dim", 0))
    if parts is not None and not named:
        node.target, node.args, node.kwargs = torch.cat, (parts, axis), {}


def _respell_pool(node: fx.Node) -> None:
    """Average pooling over the whole map, whose kernel is read from its shape."""
    settings = {**dict(zip(("kernel_size",), node.args[1:2], strict=False)), **node.kwargs}
    x, kernel = node.args[0], settings.pop("kernel_size", None)
    if len(node.args) > 2 or settings:
        return
    if are_sides_of(kernel, x):
        node.target, node.args, node.kwargs = F.adaptive_avg_pool2d, (x, 1), {}
    elif is_side_of(kernel, x):
        node.target, node.args, node.kwargs = square_average, (x,), {}


def _respell_view(node: fx.Node) -> None:
    sizes = node.args[1:]
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = tuple(sizes[0])
    if node.kwargs or not sizes or any(isinstance(size, torch.dtype) for size in sizes):
        return
    if len(sizes) > 1 and is_number_of_images(sizes[0]):
        flat = len(sizes) == 2 and sizes[1] == -1
        node.op, node.target = "call_function", torch.flatten if flat else keep_images
        node.args = (node.args[0], 1) if flat else (node.args[0], *sizes[1:])
    elif node.op == "call_method":
        node.target = "reshape"


def read_what_is_written(body: fx.GraphModule) -> None:
    """Let whoever reads a value after an operation in its place read that operation's result;
    methods such as add_ then need not change it any more."""
    order = {node: place for place, node in enumerate(body.graph.nodes)}
    for node in list(body.graph.nodes):
        written = node.args[0] if node.args else None
        if isinstance(written, fx.Node) and _is_in_place(body, node):
            for reader in list(written.users):
                if order[reader] > order[node]:
                    reader.replace_input_with(written, node)
            if node.op == "call_method":
                node.target = str(node.target).removesuffix("_")


def _is_in_place(body: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a call changes its first argument."""
    if node.op == "call_module":
        return bool(getattr(body.get_submodule(str(node.target)), "inplace", False))
    if node.op == "call_method":
        name = str(node.target)
        return name.endswith("_") and not name.startswith("_")
    if node.op != "call_function":
        return False
    name = getattr(node.target, "__name__", "")
    build = FUNCTIONS.get(node.target)
    flag = node.kwargs.get("inplace", False)
    if build is not None and "inplace" in (names := list(signature(build).parameters)):
        place = names.index("inplace") + 1
        flag = node.args[place] if len(node.args) > place else flag
    return bool(flag) or (name.endswith("_") and not name.startswith("_"))
