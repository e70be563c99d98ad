"""Numbers that a network counts from the shape of a tensor: they carry no values of it."""

from __future__ import annotations

import operator
from typing import Any

from torch import fx

SIZE_ATTRIBUTES = ("shape", "ndim", "dtype", "device")
INTEGER_FUNCTIONS = {
    operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod, operator.pow,
    operator.neg,
}  # fmt: skip


def is_size(node: fx.Node) -> bool:
    """Whether the node's value is counted from shapes, as both numbers in view(x.size(0), 2 * c).

    A tensor's type and place belong to it: they say nothing of its values either.
    """
    if node.op not in ("call_function", "call_method"):
        return False
    if node.target is getattr:
        return str(node.args[1]) in SIZE_ATTRIBUTES
    if node.target in ("size", "dim"):
        return True
    computed = node.target in INTEGER_FUNCTIONS or node.target is operator.getitem
    sources = node.all_input_nodes
    return computed and bool(sources) and all(is_size(source) for source in sources)


def is_number_of_images(size: Any) -> bool:
    """Whether a size is x.size(0) or x.shape[0] of some tensor."""
    if not isinstance(size, fx.Node):
        return False
    if size.target == "size" and size.op == "call_method":
        return bool(_axis(size) == 0)
    whole = size.args[0] if size.target is operator.getitem else None
    return isinstance(whole, fx.Node) and _is_whole(whole) and bool(_argument(size) == 0)


def are_sides_of(kernel: Any, x: Any) -> bool:
    """Whether a pooling's kernel is the height and width of the map x: x.shape[2:] and the like."""
    if isinstance(kernel, tuple | list):
        return len(kernel) == 2 and all(
            _is_axis_of(size, x, axes)
            for size, axes in zip(kernel, ((2, -2), (3, -1)), strict=True)
        )
    if not isinstance(kernel, fx.Node) or kernel.target is not operator.getitem:
        return False
    place = _argument(kernel)
    return _is_shape_of(kernel.args[0], x) and place in (slice(2, None), slice(-2, None))


def _is_axis_of(size: Any, x: Any, axes: tuple[int, ...]) -> bool:
    if not isinstance(size, fx.Node):
        return False
    if size.target is operator.getitem:
        return _is_shape_of(size.args[0], x) and _argument(size) in axes
    return size.target == "size" and size.args[0] is x and _axis(size) in axes


def _is_shape_of(whole: Any, x: Any) -> bool:
    return isinstance(whole, fx.Node) and _is_whole(whole) and whole.args[0] is x


def is_side_of(kernel: Any, x: Any) -> bool:
    """Whether a pooling's kernel is one side of the map x."""
    return _is_axis_of(kernel, x, (2, 3, -1, -2))


def holds_number_of_images(node: fx.Node) -> bool:
    """Whether a size changes with the number of images; their axis is the first."""
    if not is_size(node) or node.target == "dim":
        return False
    if node.target is getattr:
        return bool(_argument(node) == "shape")
    if node.target == "size":
        return _axis(node) in (0, None)
    source = node.args[0]
    if node.target is operator.getitem and isinstance(source, fx.Node) and _is_whole(source):
        place = _argument(node)
        return place.start in (0, None) if isinstance(place, slice) else bool(place == 0)
    return any(holds_number_of_images(argument) for argument in node.all_input_nodes)


def _is_whole(node: fx.Node) -> bool:
    """Whether the node is the shape itself, of all axes."""
    if node.target is getattr:
        return bool(_argument(node) == "shape")
    return node.op == "call_method" and node.target == "size" and _axis(node) is None


def _axis(node: fx.Node) -> Any:
    """The axis that x.size(axis) asks for, None for all of them."""
    return node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")


def _argument(node: fx.Node) -> Any:
    """The second argument: a place in a shape, or the name of an attribute."""
    return node.args[1]
