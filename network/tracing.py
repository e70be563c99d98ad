"""Following a network's forward pass with torch.fx, in eval mode and with one input."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn
from torch.nn.parameter import is_lazy

from network.functional import DROPOUT_FUNCTIONS

DROPOUTS = (
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
)  # fmt: skip
# Packages whose layers are what their base class says, whatever they override.
_OUR_PACKAGES = {"network", "conversion", "direct"}
_NOT_THE_USERS = (Path(torch.__file__).parent, Path(__file__).parent)


class UnsupportedNetwork(ValueError):
    """The network cannot be traced or cannot become spiking; the message names the layer."""


def follow(model: nn.Module, kept: tuple[type[nn.Module], ...]) -> fx.GraphModule:
    """The forward pass as a graph over the same layers.

    It is what the network computes in eval mode, with the defaults of all arguments but the first.
    Dropout that is called in training alone is in it for a network in training mode, since it does
    nothing in eval mode.

    kept: layers that are one node each, where they compute as torch or we wrote them.
    Raises UnsupportedNetwork where torch.fx cannot follow, naming the line.
    """
    if isinstance(model, kept) and _computes_as_known(model, kept):
        model = nn.Sequential(model).train(model.training)  # one layer is a network of one
    used = _graph(model, kept, training=False)
    if not model.training:
        return used
    try:
        trained = _graph(model, kept, training=True)
    except UnsupportedNetwork:
        return used
    same = _spelled(model, trained.graph) == _spelled(model, used.graph)
    return trained if same else used


class _Tracer(fx.Tracer):
    """Keeps ordinary layers, activations and neurons whole; looks into everything else, also into
    a subclass of a layer that computes in its own way, and into layers made on the way."""

    def __init__(self, kept: tuple[type[nn.Module], ...] = ()) -> None:
        super().__init__()
        self.kept = kept

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, self.kept) or "forward" in vars(m):
            return _computes_as_known(m, self.kept)
        return super().is_leaf_module(m, module_qualified_name)

    def create_args_for_root(
        self, root_fn: Any, is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        """One input; arguments with a default keep it, and *args and **kwargs stay empty."""
        several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        taken = list(inspect.signature(root_fn).parameters.values())[1:]
        named = [p for p in taken if p.kind not in several]
        needed = [p.name for p in named if p.default is p.empty]
        if len(needed) > 1:
            raise UnsupportedNetwork(f"a network must take one input, got {needed}")
        first = named[0] if named else None
        if (
            first is None
            or first.kind is inspect.Parameter.KEYWORD_ONLY
            or needed not in ([], [first.name])
        ):
            got = ", ".join(map(str, taken)) or "none"
            raise UnsupportedNetwork(f"a network must take its input as first argument, got {got}")
        return root_fn, [self.root, self.create_proxy("placeholder", first.name, (), {})]

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if m not in (self.submodule_paths or {}):
            return self._call_unregistered(m, forward, args, kwargs)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception as error:  # the user's code may raise anything at all
            if isinstance(error, UnsupportedNetwork) or not isinstance(m, self.kept):
                raise
            raise UnsupportedNetwork(
                f"{self.path_of_module(m)} ({type(m).__name__}) computes in a way of its own that "
                f"torch.fx cannot follow ({_first_line(error)}){_whereabouts(error)}: use the "
                "layer of torch that it is based on, and layers of their own for what it adds"
            ) from error

    def _call_unregistered(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if next(m.parameters(), None) is None and next(m.buffers(), None) is None:
            return forward(*args, **kwargs)
        raise UnsupportedNetwork(
            f"a layer with weights is called that the network does not hold ({type(m).__name__}): "
            "make it in __init__ and keep it as an attribute, or lists of such in an nn.ModuleList"
        )


def _computes_as_known(module: nn.Module, kept: tuple[type[nn.Module], ...]) -> bool:
    """Whether the code that a call of the module runs is that of a layer kept, or ours."""
    if "forward" in vars(module):
        return False
    bases = [kind for kind in kept if isinstance(module, kind)]
    for name in ("forward", "_conv_forward"):
        method = getattr(type(module), name, None)
        known = method is None or any(method is getattr(base, name, None) for base in bases)
        if not known and method.__module__.partition(".")[0] not in _OUR_PACKAGES:
            return False
    return True


def _graph(
    model: nn.Module, kept: tuple[type[nn.Module], ...], *, training: bool
) -> fx.GraphModule:
    _refuse_wrapped(model)
    try:
        with _in_mode(model, training):  # with the tensors that it made, which fx keeps on it
            body = fx.GraphModule(model, _Tracer(kept).trace(model))
        body.training = model.training
        return body
    except UnsupportedNetwork:
        raise
    except Exception as error:  # the user's code may raise anything at all
        raise UnsupportedNetwork(
            f"{type(model).__name__} cannot be traced by torch.fx ({_first_line(error)})"
            f"{_whereabouts(error)}; {_advice(error)}"
        ) from error


_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def _refuse_wrapped(model: nn.Module) -> None:
    """Raises UnsupportedNetwork for what torch.fx cannot look into, and for missing weights."""
    for path, module in model.named_modules():
        where = f"{path or 'the network'} ({type(module).__name__})"
        if isinstance(module, torch.jit.ScriptModule):
            raise UnsupportedNetwork(
                f"{type(model).__name__} cannot be traced by torch.fx: it is or holds a network "
                "compiled by torch.jit; give the network as it was before"
            )
        if isinstance(module, _WRAPPERS):
            raise UnsupportedNetwork(f"{where} wraps a network: give the one inside, its .module")
        if isinstance(getattr(module, "_orig_mod", None), nn.Module):
            raise UnsupportedNetwork(
                f"{where} is compiled by torch.compile: give the network as it was before, its "
                "._orig_mod"
            )
        if any(map(is_lazy, module.parameters(recurse=False))):
            raise UnsupportedNetwork(
                f"{where} has no weights yet: run the network once on some images"
            )


@contextmanager
def _in_mode(model: nn.Module, training: bool) -> Iterator[None]:
    """All modules in one mode, and afterwards each with the attributes that it had."""
    before = {module: dict(vars(module)) for module in model.modules()}
    for module in before:
        module.training = training
    try:
        yield
    finally:
        for module, attributes in before.items():
            vars(module).clear()
            vars(module).update(attributes)


def _first_line(error: Exception) -> str:
    """Its first sentence, where torch goes on in the same line."""
    return (str(error).splitlines() or [type(error).__name__])[0].split(". ")[0]


def _advice(error: Exception) -> str:
    if str(error).startswith("'len'"):
        return "write the number of images as x.shape[0]"
    if isinstance(error, fx.proxy.TraceError):
        return (
            "write its forward pass without control flow, assertions and unpacking that depend on "
            "the data or its shape"
        )
    return "it is traced without values: use layers, and functions of torch on whole tensors"


def _whereabouts(error: Exception) -> str:
    """The user's line that could not be followed, as ' at net.py, line 12'."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.suffix == ".py" and not any(map(path.is_relative_to, _NOT_THE_USERS)):
            return f" at {path.name}, line {frame.lineno}"
    return ""


def _spelled(model: nn.Module, graph: fx.Graph) -> list[tuple[Any, ...]]:
    """What a graph computes where dropout does nothing, in a form that can be compared."""
    names: dict[fx.Node, str] = {}
    calls: list[tuple[Any, ...]] = []
    for node in graph.nodes:
        if _drops(model, node):
            names[node] = names[node.all_input_nodes[0]]
            continue
        names[node] = f"%{len(calls)}"
        arguments = fx.map_arg((node.args, node.kwargs), lambda source: names[source])
        calls.append((node.op, str(node.target), repr(arguments)))
    return calls


def _drops(model: nn.Module, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(model.get_submodule(str(node.target)), DROPOUTS)
    return node.target in DROPOUT_FUNCTIONS and bool(node.all_input_nodes)
