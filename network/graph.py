"""Networks as graphs: tracing with torch.fx, and the one place where activations are swapped.

A traced network is a `torch.fx.GraphModule` in a normal form: every activation, pooling, dropout
and identity is a module of its own, one per call (a ReLU used twice becomes two), named after its
node. Weights stay where they were, so state dictionaries carry over.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator
from enum import Enum

import torch
from torch import fx, nn

from network.functional import FUNCTIONS, ClippedReLU, Mean, in_plain_form
from network.neurons import Neuron
from network.pooling import PooledCurrent
from network.rewriting import JOINS, keep_images, read_what_is_written, spell_out, squeeze_images
from network.sizes import is_size
from network.tracing import DROPOUTS as DROPOUTS
from network.tracing import UnsupportedNetwork as UnsupportedNetwork
from network.tracing import follow


class Kind(Enum):
    """What a node of a traced network is to a spiking network."""

    INPUT = "input"
    OUTPUT = "output"
    SYNAPSE = "synapse"  # convolution or linear layer
    NORM = "norm"  # batch norm
    ACTIVATION = "activation"  # can become a neuron
    NEURON = "neuron"
    AVERAGE_POOL = "average pool"
    MAX_POOL = "max pool"
    SUM = "sum"
    JOIN = "join"  # concatenation
    SHAPE = "shape"  # moves or counts numbers, computes none
    DROPOUT = "dropout"
    CONSTANT = "constant"  # a parameter or buffer used directly
    OTHER = "other"  # anything else: stays as it is, and a conversion refuses it


SYNAPSES = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
AVERAGE_POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, Mean)
MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.AdaptiveMaxPool2d, PooledCurrent)
NEAREST = ("nearest", "nearest-exact")  # modes of upsampling that copy values
SHAPE_MODULES = (
    nn.Flatten, nn.Unflatten, nn.Identity, nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d,
)  # fmt: skip


class Quantised(nn.Module):
    """Base of activations that carry their own threshold (conversion.qcfs); kept by tracing."""

    threshold: torch.Tensor


INPUT, OUTPUT = "input", "output"  # names of what the network reads and puts out, in all counts

NORMAL_FORM = "isospike normal form"  # key in a GraphModule's meta

ACTIVATIONS = (nn.ReLU, nn.ReLU6, ClippedReLU, Quantised)

_SUM_FUNCTIONS = {operator.add, operator.iadd, torch.add, "add", "add_"}
_SHAPE_FUNCTIONS = {
    torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze, torch.permute, torch.transpose,
    getattr, "flatten", "view", "reshape", "contiguous", "squeeze", "unsqueeze", "permute",
    "transpose", "unflatten", "clone", "detach", keep_images, squeeze_images,
}  # fmt: skip
_SPLIT_FUNCTIONS = {torch.chunk, torch.split, "chunk", "split"}


_KEPT = (*SYNAPSES, *NORMS, *ACTIVATIONS, *AVERAGE_POOLS, *MAX_POOLS, *DROPOUTS, Neuron)


def trace(model: nn.Module) -> fx.GraphModule:
    """The network as a graph in normal form. The layers themselves are shared, not copied.

    The graph is what the network computes in eval mode; its dropouts and norms follow their mode.
    Raises UnsupportedNetwork where torch.fx cannot follow the forward pass.
    """
    if isinstance(model, fx.GraphModule) and NORMAL_FORM in model.meta:
        return _again(model)
    body = follow(model, _KEPT)
    graph = body.graph
    for node in list(graph.nodes):
        spell_out(node)
    read_what_is_written(body)
    for node in list(graph.nodes):
        if node.name == OUTPUT and node.op != "output":
            node._rename("output_layer")  # counts call the scores so
        _normalise(body, node)
    graph.eliminate_dead_code()
    graph.lint()
    body.recompile()
    body.meta[NORMAL_FORM] = True
    return body


def _again(body: fx.GraphModule) -> fx.GraphModule:
    """A graph of its own over the same layers, under the same names."""
    twin = fx.GraphModule(body, copy.deepcopy(body.graph))
    twin.meta[NORMAL_FORM] = True
    return twin.train(body.training)


def kind_of(body: fx.GraphModule, node: fx.Node) -> Kind:
    """The kind of one node."""
    if node.op in ("placeholder", "output", "get_attr"):
        return {"placeholder": Kind.INPUT, "output": Kind.OUTPUT, "get_attr": Kind.CONSTANT}[
            node.op
        ]
    if node.op == "call_module":
        return _kind_of_module(body.get_submodule(str(node.target)))
    if is_size(node):
        return Kind.SHAPE
    if node.target in _SUM_FUNCTIONS:
        return Kind.SUM
    if node.target in JOINS:
        return Kind.JOIN
    if node.target in _SPLIT_FUNCTIONS:
        axis = node.args[2] if len(node.args) > 2 else node.kwargs.get("dim", 0)
        return Kind.OTHER if axis == 0 else Kind.SHAPE
    if node.target is operator.getitem:
        return Kind.SHAPE if _keeps_images(node) else Kind.OTHER
    return Kind.SHAPE if node.target in _SHAPE_FUNCTIONS else Kind.OTHER


def _keeps_images(node: fx.Node) -> bool:
    """Whether an index picks no images: of x[:, 1:], of one part of a split, of a parameter."""
    source, index = node.args
    if isinstance(source, fx.Node) and (
        source.target in _SPLIT_FUNCTIONS or source.op == "get_attr"
    ):
        return True
    first = index[0] if isinstance(index, tuple) and index else index
    if isinstance(first, slice):
        return first.start in (None, 0) and first.stop is None and first.step in (None, 1)
    return first is Ellipsis


def _kind_of_module(module: nn.Module) -> Kind:
    table: list[tuple[tuple[type[nn.Module], ...], Kind]] = [
        ((Neuron,), Kind.NEURON),
        (SYNAPSES, Kind.SYNAPSE),
        (NORMS, Kind.NORM),
        (ACTIVATIONS, Kind.ACTIVATION),
        (AVERAGE_POOLS, Kind.AVERAGE_POOL),
        (MAX_POOLS, Kind.MAX_POOL),
        (DROPOUTS, Kind.DROPOUT),
        (SHAPE_MODULES, Kind.SHAPE),
    ]
    if isinstance(module, nn.Upsample) and module.mode in NEAREST:
        return Kind.SHAPE
    return next((kind for types, kind in table if isinstance(module, types)), Kind.OTHER)


def layers(body: fx.GraphModule, *kinds: Kind) -> Iterator[tuple[fx.Node, nn.Module]]:
    """The nodes that call a module of one of these kinds, in order of execution."""
    for node in body.graph.nodes:
        if node.op == "call_module" and kind_of(body, node) in kinds:
            yield node, body.get_submodule(str(node.target))


def reads_input(body: fx.GraphModule) -> set[fx.Node]:
    """Nodes whose values depend on the images: all but parameters and what is computed of these."""
    found: set[fx.Node] = set()
    for node in body.graph.nodes:
        if node.op == "placeholder" or not found.isdisjoint(node.all_input_nodes):
            found.add(node)
    return found


def describe_node(body: fx.GraphModule, node: fx.Node) -> str:
    """The node as a user would name it: module path and type, or function name."""
    if node.op == "call_module":
        module = body.get_submodule(str(node.target))
        original = node.meta.get("path", node.target)
        return f"{original} ({type(module).__name__})"
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "?")
    return f"{node.name} ({name})"


def calls_one_of(body: fx.GraphModule, node: fx.Node, types: tuple[type[nn.Module], ...]) -> bool:
    """Whether a node calls a module of these types, or the function of the same name."""
    if node.op == "call_module":
        return isinstance(body.get_submodule(str(node.target)), types)
    name = str(getattr(node.target, "__name__", node.target)).replace("_", "")
    return name in {kind.__name__.lower() for kind in types}


def whereabouts(node: fx.Node) -> str:
    """The module in whose forward pass a function is called, as ' (in block2, BasicBlock)'."""
    around = list(node.meta.get("nn_module_stack", {}).values())
    if node.op == "call_module" or not around:
        return ""
    path, kind = around[-1]
    return f" (in {path}, {kind.__name__})" if isinstance(kind, type) else ""


def free_target(body: fx.GraphModule, name: str, caller: fx.Node | None = None) -> str:
    """Where a module for a node of this name is stored: calls.<name>, unless a node other than
    `caller` reads a module there, as of a user whose own layers are in `calls`."""
    others = {
        f"{node.target}."
        for node in body.graph.nodes
        if node.op in ("call_module", "get_attr") and node is not caller
    }
    home = "calls"
    while f"{home}." in others or any(own.startswith(f"{home}.{name}.") for own in others):
        home += "_"
    return f"{home}.{name}"


def replace_module(body: fx.GraphModule, node: fx.Node, module: nn.Module) -> None:
    """Let this node, and no other, call `module`; it is stored as calls.<node name>."""
    node.meta.setdefault("path", str(node.target) if node.op == "call_module" else node.name)
    target = free_target(body, node.name, node)
    body.add_submodule(target, module)
    if node.op != "call_module":
        node.op, node.args, node.kwargs = "call_module", (node.args[0],), {}
    node.target = target


def swap_activations(
    body: fx.GraphModule, make: Callable[[str, nn.Module], nn.Module]
) -> list[str]:
    """Replace every activation by make(name, activation); the names, in order of execution."""
    found = list(layers(body, Kind.ACTIVATION))
    for node, activation in found:
        if activation._forward_hooks or activation._forward_pre_hooks:
            raise UnsupportedNetwork(
                f"{describe_node(body, node)} has a forward hook, which would be lost with it: "
                "remove the hook"
            )
        replace_module(body, node, make(node.name, activation))
    body.delete_all_unused_submodules()
    body.recompile()
    return [node.name for node, _ in found]


def _normalise(body: fx.GraphModule, node: fx.Node) -> None:
    """Give every function that has a module form, and every module used twice, its own module."""
    if node.op == "call_module":
        called = body.get_submodule(str(node.target))
        plain = in_plain_form(called)
        if plain is not None:
            replace_module(body, node, plain)
        if getattr(called, "return_indices", False):
            raise UnsupportedNetwork(
                f"{describe_node(body, node)} returns indices with what it pools: "
                "use it without return_indices"
            )
        return
    build = FUNCTIONS.get(node.target) if node.op.startswith("call_") else None
    if build is None or not node.args:
        return
    try:
        module = build(*node.args[1:], **node.kwargs)
    except TypeError:
        return  # arguments without a module form: the node stays OTHER and is refused by name
    if module is not None and not any(isinstance(a, fx.Node) for a in node.args[1:]):
        module.train(body.training)
        replace_module(body, node, module)
