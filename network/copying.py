"""Copies of networks, whatever their forward passes have left on them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def copied(network: Network) -> Network:
    """A deep copy; tensors that a forward pass computed and the network kept, as in
    `self.features = h`, which torch does not copy, lose their gradient in it."""
    kept = (t for module in network.modules() for t in _tensors(vars(module)) if not t.is_leaf)
    return copy.deepcopy(network, {id(tensor): tensor.detach().clone() for tensor in kept})


def without_hooks(network: Network) -> Network:
    """The network itself, whose modules call nothing before and after their forward pass."""
    for module in network.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return network


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in nested dictionaries, lists and tuples."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _tensors(entry)
    elif isinstance(value, list | tuple | set | frozenset):
        for entry in value:
            yield from _tensors(entry)
