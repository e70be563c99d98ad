"""Max pooling moved in front of the activation (pool-before-relu).

The maximum over spikes of several neurons is not the spike train of the fastest. An activation f
never falls, so that pooling can be moved back to the currents, exactly::

    max(f(z)) = f(max z)        pool(join(a, b)) = join(pool(a), pool(b))

What cannot be moved is refused by name.
"""

from __future__ import annotations

from torch import fx, nn

from network.graph import (
    Kind,
    UnsupportedNetwork,
    describe_node,
    kind_of,
    layers,
    replace_module,
)
from network.pooling import PooledCurrent
from network.sizes import is_size


def pool_before_activation(body: fx.GraphModule) -> tuple[str, ...]:
    """Move every max pooling over activations in front of them, in place; paths of those moved.

    Raises UnsupportedNetwork, naming the layer, where the graph does not allow it.
    """
    moved = []
    for node, _ in list(layers(body, Kind.MAX_POOL)):
        if carries_spikes(body, _source(node)):
            moved.append(str(node.meta.get("path", node.target)))
            node.replace_all_uses_with(_pooled(body, node, _source(node)))
            body.graph.erase_node(node)
    body.graph.eliminate_dead_code()
    for node, pool in list(layers(body, Kind.MAX_POOL)):
        replace_module(body, node, PooledCurrent(pool))
    body.delete_all_unused_submodules()
    body.graph.lint()
    body.recompile()
    return tuple(moved)


def carries_spikes(body: fx.GraphModule, node: fx.Node) -> bool:
    """Whether the node's values are made of spikes, not of currents, once neurons are in place."""
    kind = kind_of(body, node)
    if kind in (Kind.ACTIVATION, Kind.NEURON):
        return True
    if kind in (Kind.SYNAPSE, Kind.NORM) or is_size(node):
        return False
    return any(carries_spikes(body, source) for source in node.all_input_nodes)


def _source(node: fx.Node) -> fx.Node:
    source = node.args[0]
    assert isinstance(source, fx.Node)
    return source


def _pooled(body: fx.GraphModule, pool: fx.Node, source: fx.Node) -> fx.Node:
    """A node equal to pool(source) that pools currents only."""
    kind = kind_of(body, source)
    if not carries_spikes(body, source):
        return _call(body, pool, source)
    if kind in (Kind.ACTIVATION, Kind.DROPOUT) or _is_identity(body, source):
        return _call(body, source, _pooled_before(body, pool, source))
    if kind is Kind.JOIN and _joins_channels(source):
        return _join(body, pool, source)
    raise UnsupportedNetwork(
        f"{describe_node(body, pool)} takes the maximum over spikes of "
        f"{describe_node(body, source)} and cannot be moved in front of an activation: "
        "use average pooling there"
    )


def _pooled_before(body: fx.GraphModule, pool: fx.Node, source: fx.Node) -> fx.Node:
    inner = _source(source)
    if kind_of(body, source) is Kind.ACTIVATION:
        return _call(body, pool, inner)
    return _pooled(body, pool, inner)


def _call(body: fx.GraphModule, original: fx.Node, argument: fx.Node) -> fx.Node:
    """Another call of the module that `original` calls, right behind `argument`."""
    with body.graph.inserting_after(argument):
        node = body.graph.create_node(
            "call_module", original.target, (argument,), name=original.name
        )
    node.meta.update(path=original.meta.get("path", original.target))
    return node


def _join(body: fx.GraphModule, pool: fx.Node, source: fx.Node) -> fx.Node:
    parts = source.args[0]
    assert isinstance(parts, list | tuple)
    pooled = [_pooled(body, pool, part) for part in parts if isinstance(part, fx.Node)]
    with body.graph.inserting_before(source):
        return body.graph.create_node(
            source.op, source.target, (pooled, *source.args[1:]), dict(source.kwargs)
        )


def _joins_channels(source: fx.Node) -> bool:
    axis = source.args[1] if len(source.args) > 1 else source.kwargs.get("dim", 0)
    return axis in (1, -3)


def _is_identity(body: fx.GraphModule, node: fx.Node) -> bool:
    return node.op == "call_module" and isinstance(
        body.get_submodule(str(node.target)), nn.Identity
    )
