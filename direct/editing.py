"""Edits of a traced network that direct training needs beside the swap of its activations."""

from __future__ import annotations

import math

import torch
from torch import fx, nn

from network.graph import Kind, free_target, kind_of, layers
from network.neurons import Dynamics, Neuron
from network.sizes import is_size


def insert_after(body: fx.GraphModule, node: fx.Node, name: str, module: nn.Module) -> fx.Node:
    """Call `module` on the value of `node`; all that read the node now read the module."""
    target = free_target(body, name)
    body.add_submodule(target, module)
    with body.graph.inserting_after(node):
        added = body.graph.create_node("call_module", target, (node,), name=name)
    node.replace_all_uses_with(added, delete_user_cb=lambda user: user is not added)
    body.recompile()
    return added


def leads_to(body: fx.GraphModule, node: fx.Node, kind: Kind) -> bool:
    """Whether the node's value reaches a node of this kind before any neuron or synapse."""
    for user in node.users:
        found = kind_of(body, user)
        if found is kind:
            return True
        if found in (Kind.SYNAPSE, Kind.NEURON, Kind.ACTIVATION):
            continue
        if leads_to(body, user, kind):
            return True
    return False


def sources_of(body: fx.GraphModule, node: fx.Node) -> set[Kind]:
    """What a node's value comes from: norms, weights, neurons, the input."""
    kinds: set[Kind] = set()
    for source in node.all_input_nodes:
        kind = kind_of(body, source)
        if kind in (Kind.NORM, Kind.SYNAPSE, Kind.NEURON) or not source.all_input_nodes:
            kinds.add(kind)
        else:
            kinds |= sources_of(body, source)
    return kinds


def ends_in_neurons(body: fx.GraphModule) -> bool:
    """Whether all that the network puts out are spikes, or will be where an activation is swapped
    for neurons."""
    return _of_neurons(body, next(node for node in body.graph.nodes if node.op == "output"))


def _of_neurons(body: fx.GraphModule, node: fx.Node) -> bool:
    passing = (Kind.DROPOUT, Kind.SHAPE, Kind.JOIN)
    sources = [source for source in node.all_input_nodes if not is_size(source)]
    kinds = {source: kind_of(body, source) for source in sources}
    return bool(sources) and all(
        _of_neurons(body, source) if kind in passing else kind in (Kind.NEURON, Kind.ACTIVATION)
        for source, kind in kinds.items()
    )


def add_spiking_pooling(body: fx.GraphModule, threshold: float) -> list[str]:
    """A layer of neurons behind every average pooling of spikes (Lee 2020, section 2.2.1); names.

    The pooled spikes (weights ¼ for 2×2) charge an IF neuron with hard reset, whose potential
    stays as residue in the next step. It fires where the potential reaches the threshold, as all
    neurons here do: 3 of 4 spikes for 0.75. Lee 2020 has it fire where the sum exceeds 0.75, which
    is 4 of 4 (a threshold between 0.75 and 1); elsewhere in a network that hardly differs. Where
    currents are averaged on their way to neurons, there are no spikes to pool.
    """
    names = []
    pools = [node for node, _ in layers(body, Kind.AVERAGE_POOL) if not _of_currents(body, node)]
    for node in pools:
        neuron = Neuron(Dynamics(1.0, "hard"), theta=threshold, role="pooling")
        names.append(insert_after(body, node, f"{node.name}_neurons", neuron).name)
    return names


def _of_currents(body: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a pooling reads what weights, norms or sums put out."""
    sources = [source for source in node.all_input_nodes if not is_size(source)]
    kinds = {source: kind_of(body, source) for source in sources}
    passing = (Kind.DROPOUT, Kind.SHAPE, Kind.JOIN, Kind.AVERAGE_POOL, Kind.MAX_POOL)
    return any(
        _of_currents(body, source)
        if kind in passing
        else kind in (Kind.SYNAPSE, Kind.NORM, Kind.SUM)
        for source, kind in kinds.items()
    )


@torch.no_grad()
def draw_weights(body: fx.GraphModule, generator: torch.Generator) -> None:
    """Weights from N(0, κ/fan-in), biases 0 (Lee 2020, section 4.1).

    κ = 2 for plain networks, 1 for networks with residual sums. Raises ValueError, naming the
    layer, for weights that are computed from others (pruned, weight-normed, …).
    """
    residual = any(kind_of(body, node) is Kind.SUM for node in body.graph.nodes)
    kappa = 1.0 if residual else 2.0
    for node, layer in layers(body, Kind.SYNAPSE):
        weight, bias = layer._parameters.get("weight"), layer._parameters.get("bias")
        if weight is None:
            raise ValueError(
                f"draw_weights is for plain weights, and {node.meta.get('path', node.target)} "
                "computes its own from others: choose draw_weights = false"
            )
        drawn = torch.empty(weight.shape)  # on the CPU: the same on every device
        weight.copy_(drawn.normal_(0.0, math.sqrt(kappa / weight[0].numel()), generator=generator))
        if bias is not None:
            bias.zero_()
