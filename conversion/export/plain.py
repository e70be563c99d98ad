"""A converted network as two files: numbers in safetensors, the graph in JSON; nothing pickled.

`snn.safetensors` holds weights, thresholds, start potentials and shifts; `snn.json` holds one entry
per node of the graph. Only the modules and functions listed here are written and read.
"""

from __future__ import annotations

import json
import operator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import fx, nn

from conversion.export.modules import build_module, describe_module
from conversion.methods.offset import correct
from conversion.methods.srp import mask
from network.graph import UnsupportedNetwork, describe_node
from network.observation import Observation, carry_on
from network.readouts import MEMBRANE_DECAY
from network.rewriting import keep_images, squeeze_images
from network.unroll import SpikingNetwork

FORMAT = 1

_FUNCTIONS = {
    "add": operator.add, "iadd": operator.iadd, "torch.add": torch.add, "cat": torch.cat,
    "flatten": torch.flatten, "reshape": torch.reshape, "getitem": operator.getitem,
    "getattr": getattr, "mul": operator.mul, "sub": operator.sub, "truediv": operator.truediv,
    "floordiv": operator.floordiv, "squeeze": torch.squeeze, "unsqueeze": torch.unsqueeze,
    "permute": torch.permute, "transpose": torch.transpose, "squeeze_images": squeeze_images,
    "chunk": torch.chunk, "split": torch.split, "keep_images": keep_images,
    "pow": operator.pow, "mod": operator.mod, "neg": operator.neg,
}  # fmt: skip
_METHODS = frozenset(
    {"flatten", "view", "reshape", "size", "contiguous", "squeeze", "unsqueeze", "permute",
     "transpose", "chunk", "split", "dim", "add", "add_", "clone", "detach",
     "sub", "mul", "div", "neg"}
)  # fmt: skip
_OBSERVATIONS = {"srp": mask, "offset": correct, "delay": carry_on}


def save_plain(network: SpikingNetwork, directory: Path) -> tuple[Path, Path]:
    """Write snn.safetensors and snn.json into `directory`; their paths.

    Raises UnsupportedNetwork, naming the node, for one that the format does not know.
    """
    body = network.body
    targets = sorted({str(n.target) for n in body.graph.nodes if n.op == "call_module"})
    observation = network.observation
    content = {
        "format": FORMAT,
        "encoding": network.encoding,
        "readout": network.readout,
        "readout_decay": network.readout_decay,
        "observation": None
        if observation is None
        else {"steps": observation.steps, "kind": _name_of(_OBSERVATIONS, observation.prepare)},
        "modules": {target: describe_module(body.get_submodule(target)) for target in targets},
        "nodes": [_write_node(body, node) for node in body.graph.nodes],
    }
    tensors, graph = directory / "snn.safetensors", directory / "snn.json"
    state = {name: value.detach().cpu().contiguous() for name, value in body.state_dict().items()}
    tensors.write_bytes(save({name: value.clone() for name, value in state.items()}))
    graph.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return tensors, graph


def load_plain(directory: str | Path) -> SpikingNetwork:
    """The network that `save_plain` wrote, in eval mode; it spikes identically.

    Raises ValueError for another format.
    """
    file = Path(directory) / "snn.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        found = content["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is not one that save_plain has written, or cut off") from error
    if found != FORMAT:
        raise ValueError(f"{file}: format must be {FORMAT}, got {found!r}")
    state = load_file(Path(directory) / "snn.safetensors")
    root = nn.Module()
    with torch.random.fork_rng(devices=[]):  # first weights are drawn, and not used
        for target, description in content["modules"].items():
            prefix = f"{target}."
            own = {
                key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)
            }
            _place(root, target, build_module(description, own))
    for entry in content["nodes"]:
        if entry["op"] == "get_attr":
            _place_tensor(root, entry["target"], state[entry["target"]])
    graph = fx.Graph()
    known: dict[str, fx.Node] = {}
    for entry in content["nodes"]:
        known[entry["name"]] = _read_node(graph, entry, known)
    body = fx.GraphModule(root, graph)
    body.load_state_dict(state)
    described = content["observation"]
    observation = None
    if described is not None:
        prepare = _OBSERVATIONS[described["kind"]]
        observation = Observation(described["steps"], prepare, carries_on=prepare is carry_on)
    network = SpikingNetwork(
        body.requires_grad_(False),
        encoding=content["encoding"],
        readout=content["readout"],
        readout_decay=content.get("readout_decay", MEMBRANE_DECAY),  # older files have none
        observation=observation,
    )
    return network.eval()


def _write_node(body: fx.GraphModule, node: fx.Node) -> dict[str, Any]:
    target = node.target if isinstance(node.target, str) else _name_of(_FUNCTIONS, node.target)
    if target is None or (node.op == "call_method" and target not in _METHODS):
        raise UnsupportedNetwork(f"the plain form does not know {describe_node(body, node)}")
    return {
        "name": node.name,
        "op": node.op,
        "target": target,
        "path": str(node.meta.get("path", "")),
        "args": _write_value(node.args),
        "kwargs": {key: _write_value(value) for key, value in node.kwargs.items()},
    }


def _read_node(graph: fx.Graph, entry: dict[str, Any], known: dict[str, fx.Node]) -> fx.Node:
    operation, target = entry["op"], entry["target"]
    if operation == "call_function":
        target = _FUNCTIONS[target]
    elif operation == "call_method" and target not in _METHODS:
        raise ValueError(f"snn.json: method must be one of {sorted(_METHODS)}, got {target!r}")
    args = _read_value(entry["args"], known)
    kwargs = {key: _read_value(value, known) for key, value in entry["kwargs"].items()}
    node = graph.create_node(operation, target, tuple(args), kwargs, name=entry["name"])
    if entry["path"]:
        node.meta["path"] = entry["path"]
    return node


def _write_value(value: Any) -> Any:
    if isinstance(value, fx.Node):
        return {"node": value.name}
    if isinstance(value, tuple | list):
        return [_write_value(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, slice):
        return {"slice": [_write_value(v) for v in (value.start, value.stop, value.step)]}
    raise UnsupportedNetwork(f"the plain form cannot hold an argument {value!r}")


def _read_value(value: Any, known: dict[str, fx.Node]) -> Any:
    if isinstance(value, list):
        return [_read_value(item, known) for item in value]
    if isinstance(value, dict):
        if "node" in value:
            return known[value["node"]]
        return slice(*_read_value(value["slice"], known))
    return value


def _name_of(table: dict[str, Any], entry: Any) -> str | None:
    return next((name for name, known in table.items() if known is entry), None)


def _place(root: nn.Module, target: str, module: nn.Module) -> None:
    """Store a module under a dotted path, with plain modules on the way."""
    *parents, name = target.split(".")
    for parent in parents:
        if parent not in dict(root.named_children()):
            root.add_module(parent, nn.Module())
        root = root.get_submodule(parent)
    root.add_module(name, module)


def _place_tensor(root: nn.Module, target: str, value: torch.Tensor) -> None:
    *parents, name = target.split(".")
    for parent in parents:
        if parent not in dict(root.named_children()):
            root.add_module(parent, nn.Module())
        root = root.get_submodule(parent)
    root.register_buffer(name, value)
