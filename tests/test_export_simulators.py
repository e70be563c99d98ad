"""Exported networks in other simulators: they spike as ours do."""

import importlib
from collections.abc import Callable
from typing import Any

import nir
import pytest
import torch
from torch import Tensor, nn

from compare.data import load
from conversion import convert
from conversion.export import nir_graph
from network.architectures import Geometry, build
from tests.spike_trains import own_spikes

STEPS = 12


def peer(name: str):
    """Another simulator, or a skip where it is not installed."""
    pytest.importorskip("nirtorch", reason="nirtorch is not installed")
    return pytest.importorskip(name, reason=f"{name} is not installed")


def layer_by_layer(graph: nir.NIRGraph) -> list[tuple[str, nir.NIRNode]]:
    """Nodes of a chain in order, input first."""
    following = dict(graph.edges)
    names = ["input"]
    while names[-1] in following:
        names.append(following[names[-1]])
    return [(name, graph.nodes[name]) for name in names]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("simulator", ["snntorch", "sinabs", "norse"])
def test_other_simulators_spike_as_ours(simulator: str) -> None:
    """Each simulator's own importer of every NIR node, run over time, spike for spike.

    What an importer adds to NIR's IF is set back: snnTorch a leak of 0.9 and an early reset,
    sinabs a bound at −θ and several spikes per step. Norse resets to 0: so does the network then.
    The images are not those of the calibration, whose largest activation meets θ exactly: NIR
    fires above the threshold, we fire at it.
    """
    peer(simulator)
    data = load("mnist-5k")
    pixels = (data.train.images.float() / 255 - data.mean[0]) / data.std[0]
    x = pixels[100:200]
    model = build("lenet", Geometry(1, 28, 28, 10), width=0.5, seed=0)
    reset = "hard" if simulator == "norse" else "soft"
    result = convert(model, pixels[:100], method="robust-norm", reset=reset)
    ours, _ = own_spikes(result.network, x, STEPS)
    pooling = "average" if simulator == "snntorch" else "sum"
    graph = nir_graph(result.network, (1, 28, 28), pooling=pooling)
    run = {"snntorch": run_snntorch, "sinabs": run_sinabs, "norse": run_norse}[simulator]
    theirs = run(graph, x)
    assert list(theirs) == list(ours)
    for layer, spikes in ours.items():
        assert spikes.mean() > 0.001
        # sums taken in another order may fall on the other side of θ
        assert (spikes != theirs[layer]).float().mean() < 1e-4, layer


def step_by_step(
    modules: list[tuple[str, Any, Any]], x: Tensor, start: Callable[[Tensor], object]
) -> dict[str, Tensor]:
    """Spikes of every layer [T, B, ...]; start: the state of neurons before their first step."""
    states: dict[str, object] = {}
    trains: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for _ in range(STEPS):
            value = x
            for name, node, module in modules:
                if isinstance(node, nir.IF):
                    before = states[name] if name in states else start(value)
                    value, states[name] = module(value, before)
                    trains.setdefault(name, []).append(value)
                elif module is not None:
                    value = module(value)
    return {name: torch.stack(parts) for name, parts in trains.items()}


def run_snntorch(graph: nir.NIRGraph, x: Tensor) -> dict[str, Tensor]:
    importer = importlib.import_module("snntorch.import_nir")
    modules = []
    for name, node in layer_by_layer(graph):
        module = importer._nir_to_snntorch_module(node)
        if isinstance(node, nir.IF):
            module.beta.fill_(1.0)
            module.reset_delay = True
        if isinstance(node, nir.Flatten):
            module = nn.Flatten(1)
        modules.append((name, node, module))
    return step_by_step(modules, x, torch.zeros_like)


def run_sinabs(graph: nir.NIRGraph, x: Tensor) -> dict[str, Tensor]:
    importer = importlib.import_module("sinabs.nir")
    activation = importlib.import_module("sinabs.activation")
    trains: dict[str, Tensor] = {}
    value = x.repeat_interleave(STEPS, dim=0)  # batch first, then time
    with torch.no_grad():
        for name, node in layer_by_layer(graph):
            if isinstance(node, nir.IF):
                node.v_threshold = torch.tensor(node.v_threshold)
            module = importer._import_sinabs_module(node, len(x), STEPS)
            if isinstance(node, nir.IF):
                module.min_v_mem = None
                module.spike_fn = activation.SingleSpike
            value = module(value)
            if isinstance(node, nir.IF):
                trains[name] = value.unflatten(0, (len(x), STEPS)).transpose(0, 1)
    return trains


def run_norse(graph: nir.NIRGraph, x: Tensor) -> dict[str, Tensor]:
    importer = importlib.import_module("norse.torch.utils.import_nir")
    reset = importlib.import_module("norse.torch.functional.reset")
    modules = []
    for name, node in layer_by_layer(graph):
        if isinstance(node, nir.Input | nir.Output):
            continue
        module = importer._import_norse_module(node, reset_method=reset.reset_value)
        if isinstance(node, nir.Flatten):
            module = nn.Flatten(1)
        modules.append((name, node, module))
    return step_by_step(modules, x, lambda value: None)
