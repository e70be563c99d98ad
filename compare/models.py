"""Networks by name: registered architectures, and the user's own modules and files.

A user's module never hides ours, nor ours theirs: files are loaded under a name of their own, and
a name that both use is said in one line.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from network.architectures import Geometry, build
from network.copying import copied

ROOMS = ("network", "conversion", "direct", "compare", "reports")


FAULTS = (Exception, SystemExit)
"""What the user's code may raise: anything at all, and a script also ends the program."""


class ModelError(ValueError):
    """A model of the user's that cannot be loaded: one line with what, and what to do."""


def _raised(error: BaseException) -> str:
    """An error of the user's code, on one line."""
    if isinstance(error, SystemExit):
        return "it ends the program (sys.exit)"
    reason = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {reason}"


def make_network(
    architecture: str,
    geometry: Geometry,
    *,
    width: float,
    batch_norm: bool,
    dropout: float,
    seed: int,
    pretrained: bool = True,
    to_train: bool = True,
) -> nn.Module:
    """A fresh network: a registered architecture, or module:function, or file.py:function.

    A user's function is called with those of channels, height, width, classes, num_classes, seed
    and pretrained that its signature names, with torch's generator seeded. pretrained: whether an
    ANN is asked for, not a network to train as a spiking one. to_train: as `check_network`.
    """
    if ":" not in architecture:
        return build(
            architecture, geometry, width=width, batch_norm=batch_norm, dropout=dropout, seed=seed
        )
    network = call_function(load_function(architecture), geometry, seed, pretrained=pretrained)
    check_network(network, geometry, to_train=to_train)
    return network


def check_network(network: nn.Module, geometry: Geometry, *, to_train: bool = True) -> None:
    """Raise ModelError unless the network turns images into class scores [B, K].

    K may be larger than the number of classes, never smaller. to_train: it must do so in training
    mode as well. The network itself is not run, but a copy of it.
    """
    state = network.state_dict()
    spoilt = [n for n, t in state.items() if t.is_floating_point() and not t.isfinite().all()]
    if spoilt:
        raise ModelError(f"the weights {spoilt[0]} of the network are not finite (NaN or infinity)")
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ModelError("the network has no weights that could be trained")
    shape = (geometry.channels, geometry.height, geometry.width)
    try:
        twin = copied(network)
    except FAULTS as error:
        raise ModelError(
            f"the network cannot be copied (copy.deepcopy): {_raised(error)}"
        ) from error
    _check_scores(twin.eval(), shape, geometry.classes)
    if to_train:
        _check_scores(twin.train(), shape, geometry.classes)


def _check_scores(network: nn.Module, shape: tuple[int, int, int], classes: int) -> None:
    """Run the network in the mode that it is in, on two black images."""
    device = next(network.parameters()).device
    where = "in training mode the network" if network.training else "the network"
    try:
        with torch.no_grad(), torch.random.fork_rng():
            scores = network(torch.zeros(2, *shape, device=device))
    except FAULTS as error:
        raise ModelError(
            f"{where} does not take float32 images of shape {shape}: {_raised(error)}"
        ) from error
    if not isinstance(scores, Tensor):
        got = type(scores).__name__
        raise ModelError(f"{where} must return class scores [B, K], got {got}")
    if not scores.is_floating_point() or scores.ndim != 2 or len(scores) != 2:
        got = f"{scores.dtype} of shape {tuple(scores.shape)}"
        raise ModelError(f"{where} must return class scores [B, K] as floats, got {got}")
    if scores.shape[1] < classes:
        raise ModelError(f"{where} has {scores.shape[1]} outputs, the data set {classes} classes")


def call_function(
    function: Callable[..., Any], geometry: Geometry, seed: int, *, pretrained: bool = True
) -> nn.Module:
    """Call a user's function for a network; raises ModelError unless it returns a module."""
    offered = {
        "channels": geometry.channels,
        "height": geometry.height,
        "width": geometry.width,
        "classes": geometry.classes,
        "num_classes": geometry.classes,
        "seed": seed,
        "pretrained": pretrained,
    }
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        raise ModelError(f"the parameters of {function!r} cannot be read: {error}") from error
    missing = [
        p.name
        for p in parameters.values()
        if p.name not in offered
        and p.default is p.empty
        and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    name = getattr(function, "__name__", "the function")
    if missing:
        raise ModelError(f"{name} asks for {missing}; allowed parameters: {', '.join(offered)}")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            network = function(**{k: value for k, value in offered.items() if k in parameters})
        except FAULTS as error:
            raise ModelError(f"{name} fails when called: {_raised(error)}") from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"{name} must return a torch.nn.Module, got {type(network).__name__}")
    return network


def load_function(reference: str) -> Callable[..., Any]:
    """The function behind `package.module:function` or `path/to/file.py:function`."""
    place, _, name = reference.rpartition(":")
    if not place or not name:
        raise ModelError(f"a model is written module:function or file.py:function, got {reference}")
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    function = getattr(module, name, None)
    if not callable(function):
        known = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise ModelError(f"{place} has no function {name!r}; it has: {', '.join(known) or 'none'}")
    return function


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ModelError(f"model file {path} does not exist")
    path = path.resolve()
    _refuse_clash(path)
    name = f"isospike_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _searched(path.parent):
            spec.loader.exec_module(module)
    except FAULTS as error:
        del sys.modules[name]
        raise ModelError(f"{path} cannot be imported: {_raised(error)}") from error
    return module


def _load_module(name: str) -> ModuleType:
    top = name.partition(".")[0]
    if top in ROOMS and any((Path.cwd() / f"{top}{end}").exists() for end in (".py", "")):
        ours = Path(__file__).resolve().parent.parent
        if Path.cwd().resolve() != ours:
            raise ModelError(
                f"the name {top!r} is taken by isospike: write the path, "
                f"{name.replace('.', '/')}.py:function"
            )
    try:
        with _searched(Path.cwd()):
            found = importlib.util.find_spec(name)
            if found is not None and found.origin and found.origin.endswith(".py"):
                _refuse_clash(Path(found.origin))
            return importlib.import_module(name)
    except ModelError:
        raise
    except ModuleNotFoundError as error:
        raise ModelError(f"module {name!r} cannot be found (missing: {error.name})") from error
    except FAULTS as error:
        raise ModelError(f"module {name!r} cannot be imported: {_raised(error)}") from error


@contextmanager
def _searched(folder: Path) -> Iterator[None]:
    """Let imports find the user's neighbours, after everything that is installed.

    Our command line is not theirs: code that reads one finds it empty.
    """
    ours = sys.argv
    sys.path.append(str(folder))
    sys.argv = [str(folder)]
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.argv = ours


def _refuse_clash(path: Path) -> None:
    """What the file imports from beside it, or from where the user works, must not bear the name
    of one of our packages."""
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (SyntaxError, ValueError, OSError) as error:
        raise ModelError(f"{path} cannot be read as Python: {error}") from error
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    ours = Path(__file__).resolve().parent.parent
    for room in sorted(imported.intersection(ROOMS)):
        for folder in (path.parent, Path.cwd()):
            theirs = [folder / f"{room}.py", folder / room]
            if folder.resolve() != ours and any(p.exists() for p in theirs):
                raise ModelError(
                    f"{path.name} imports {room!r}, a name taken by isospike: "
                    f"rename {room} in {folder}"
                )
