"""The same network in SpikingJelly, snnTorch, sinabs and Norse: their neurons for its ReLUs.

Each runs as its own documentation shows: constant input at every step, soft reset, the mean of
the outputs over time. A library that is not installed is left out.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Forward = Callable[[Tensor, int], Tensor]  # images [B, ...], timesteps -> scores [B, K]


def peers(model: nn.Module, threshold: float) -> dict[str, tuple[Forward, nn.Module]]:
    """name -> (forward, module) of every peer installed; none for a network with branches."""
    found: dict[str, tuple[Forward, nn.Module]] = {}
    if not isinstance(model, nn.Sequential) or _hides_activations(model):
        return found
    for library, builders in _BUILDERS.items():
        if importlib.util.find_spec(library) is None:
            continue
        for name, build in builders.items():
            found[name] = build(copy.deepcopy(model), threshold)
    return found


def _hides_activations(model: nn.Sequential) -> bool:
    inner = (m for child in model for m in child.modules() if m is not child)
    return any(isinstance(m, nn.ReLU) for m in inner)


def _swap(model: nn.Sequential, make: Callable[[], nn.Module]) -> nn.Sequential:
    return nn.Sequential(*(make() if isinstance(m, nn.ReLU) else m for m in model))


def _spikingjelly_single(model: nn.Sequential, threshold: float) -> tuple[Forward, nn.Module]:
    from spikingjelly.activation_based import functional, neuron

    network = _swap(model, lambda: neuron.IFNode(v_threshold=threshold, v_reset=None))

    def forward(images: Tensor, timesteps: int) -> Tensor:
        functional.reset_net(network)
        return torch.stack([network(images) for _ in range(timesteps)]).mean(0)

    return forward, network


def _spikingjelly_multi(model: nn.Sequential, threshold: float) -> tuple[Forward, nn.Module]:
    from spikingjelly.activation_based import functional, layer, neuron

    def neurons() -> nn.Module:
        return neuron.IFNode(v_threshold=threshold, v_reset=None, step_mode="m")

    parts = [neurons() if isinstance(m, nn.ReLU) else layer.SeqToANNContainer(m) for m in model]
    network = nn.Sequential(*parts)

    def forward(images: Tensor, timesteps: int) -> Tensor:
        functional.reset_net(network)
        result: Tensor = network(images.expand(timesteps, *images.shape))
        return result.mean(0)

    return forward, network


def _snntorch(model: nn.Sequential, threshold: float) -> tuple[Forward, nn.Module]:
    import snntorch
    from snntorch import utils

    network = _swap(model, lambda: snntorch.Leaky(beta=1.0, threshold=threshold, init_hidden=True))

    def forward(images: Tensor, timesteps: int) -> Tensor:
        utils.reset(network)
        return torch.stack([network(images) for _ in range(timesteps)]).mean(0)

    return forward, network


def _sinabs(model: nn.Sequential, threshold: float) -> tuple[Forward, nn.Module]:
    import sinabs
    import sinabs.layers
    from sinabs.activation import SingleSpike

    theta = torch.tensor(threshold, device=next(model.parameters()).device)
    network = _swap(
        model,
        lambda: sinabs.layers.IAFSqueeze(batch_size=1, spike_threshold=theta, spike_fn=SingleSpike),
    )

    def forward(images: Tensor, timesteps: int) -> Tensor:
        for module in network:
            if isinstance(module, sinabs.layers.IAFSqueeze):
                module.batch_size = len(images)
        sinabs.reset_states(network)
        steps = images.unsqueeze(1).expand(-1, timesteps, *images.shape[1:])
        result: Tensor = network(steps.flatten(0, 1))
        return result.unflatten(0, (len(images), timesteps)).mean(1)

    return forward, network


def _norse(model: nn.Sequential, threshold: float) -> tuple[Forward, nn.Module]:
    import norse.torch

    parameters = norse.torch.IAFParameters(
        v_th=torch.tensor(threshold, device=next(model.parameters()).device)
    )
    layers: list[Any] = [
        norse.torch.IAFCell(p=parameters) if isinstance(m, nn.ReLU) else m for m in model
    ]
    network = norse.torch.SequentialState(*layers)

    def forward(images: Tensor, timesteps: int) -> Tensor:
        state, total = None, []
        for _ in range(timesteps):
            output, state = network(images, state)
            total.append(output)
        return torch.stack(total).mean(0)

    return forward, network


_Build = Callable[[nn.Sequential, float], tuple[Forward, nn.Module]]
_BUILDERS: dict[str, dict[str, _Build]] = {
    "spikingjelly": {
        "SpikingJelly, step by step (its default)": _spikingjelly_single,
        "SpikingJelly, multi-step": _spikingjelly_multi,
    },
    "snntorch": {"snnTorch": _snntorch},
    "sinabs": {"sinabs": _sinabs},
    "norse": {"Norse (hard reset)": _norse},
}
