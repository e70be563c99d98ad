"""Modules as plain values and back: the type and the arguments of its constructor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from conversion.folding import PerFeature
from network.functional import GlobalAverage, GlobalMax, Mean, Pointwise, SquareAverage
from network.graph import UnsupportedNetwork
from network.neurons import Dynamics, Neuron
from network.pooling import PooledCurrent

_CONVOLUTION = (
    "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups",
    "padding_mode",
)  # fmt: skip

_ARGUMENTS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Conv1d: _CONVOLUTION,
    nn.Conv2d: _CONVOLUTION,
    nn.Conv3d: _CONVOLUTION,
    Pointwise: _CONVOLUTION,
    nn.Linear: ("in_features", "out_features"),
    nn.AvgPool1d: ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"),
    nn.AvgPool2d: (
        "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override",
    ),
    nn.AdaptiveAvgPool1d: ("output_size",),
    nn.AdaptiveAvgPool2d: ("output_size",),
    nn.MaxPool1d: ("kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode"),
    nn.MaxPool2d: ("kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode"),
    nn.AdaptiveMaxPool2d: ("output_size",),
    nn.Dropout: ("p",),
    nn.Dropout1d: ("p",),
    nn.Dropout2d: ("p",),
    nn.Flatten: ("start_dim", "end_dim"),
    nn.Identity: (),
    nn.ZeroPad1d: ("padding",), nn.ZeroPad2d: ("padding",), nn.ZeroPad3d: ("padding",),
    nn.Upsample: ("size", "scale_factor", "mode"),
    GlobalAverage: (),
    GlobalMax: (),
    SquareAverage: (),
    Mean: ("axes", "keepdim"),
}  # fmt: skip
_WITH_BIAS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def describe_module(module: nn.Module) -> dict[str, Any]:
    """The type and the constructor's arguments. Raises UnsupportedNetwork for other types."""
    if type(module) is Neuron:
        dynamics = module.dynamics
        return {
            "type": "Neuron",
            "decay": dynamics.decay,
            "reset": dynamics.reset,
            "height": module.height,
            "role": module.role,
        }
    if isinstance(module, PooledCurrent):
        return {"type": "PooledCurrent", "pool": describe_module(module.pool)}
    if isinstance(module, PerFeature):
        return {"type": "PerFeature", "features": module.in_channels}
    if type(module) not in _ARGUMENTS:
        raise UnsupportedNetwork(f"the plain form does not know {type(module).__name__}")
    names = _ARGUMENTS[type(module)]
    arguments = {name: getattr(module, name) for name in names}
    if isinstance(module, _WITH_BIAS):
        arguments["bias"] = module.bias is not None
    return {"type": type(module).__name__, "arguments": arguments}


def build_module(description: dict[str, Any], state: dict[str, Tensor]) -> nn.Module:
    """The module of a description, holding the tensors of `state`."""
    kind = description["type"]
    if kind == "Neuron":
        neuron = Neuron(
            Dynamics(description["decay"], description["reset"]),
            theta=state["theta"],
            start=state["start"],
            shift=state["shift"],
            height=description["height"],
            role=description["role"],
        )
        if "decay" in state:
            neuron.keep_decay(state["decay"])
        return neuron
    if kind == "PooledCurrent":
        return PooledCurrent(build_module(description["pool"], {}))
    if kind == "PerFeature":
        return _filled(PerFeature(description["features"]), state)
    types = {known.__name__: known for known in _ARGUMENTS}
    if kind not in types:
        raise ValueError(f"snn.json: module must be one of {', '.join(types)}, got {kind!r}")
    arguments = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in description["arguments"].items()
    }
    return _filled(types[kind](**arguments), state)


def _filled(module: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """The module with its parameters in the precision that was saved."""
    precision = next((value.dtype for value in state.values()), torch.float32)
    module.to(precision).load_state_dict(state)
    return module
