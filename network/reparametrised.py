"""Weights that a module computes before every call (pruned, weight-normed, …), as plain weights."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from network.copying import copied

Module = TypeVar("Module", bound=nn.Module)


def plain_copy(model: Module) -> Module:
    """A copy in eval mode with plain weights; of tensors in an autograd graph, the values."""
    return without_reparametrisation(copied(model).eval())


def is_reparametrised(model: nn.Module) -> bool:
    """Whether a module computes one of its weights before every call."""
    hooks = (prune.BasePruningMethod, WeightNorm, SpectralNorm)
    return any(
        parametrize.is_parametrized(module)
        or any(isinstance(hook, hooks) for hook in module._forward_pre_hooks.values())
        for module in model.modules()
    )


def without_reparametrisation(model: Module) -> Module:
    """The model itself, in eval mode, with every reparametrised weight at its present value."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            _settle(module)
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, prune.BasePruningMethod):
                prune.remove(module, hook._tensor_name)
            elif isinstance(hook, WeightNorm):
                remove_weight_norm(module, hook.name)
            elif isinstance(hook, SpectralNorm):
                remove_spectral_norm(module, hook.name)
    return model


def _settle(module: nn.Module) -> None:
    """Parametrised tensors as plain ones. torch's own `remove_parametrizations` takes them out of
    the class that torch has made for the module, which copies of it share."""
    parametrised: Any = module.parametrizations
    values = {name: getattr(module, name).detach().clone() for name in parametrised}
    module.__class__ = type(module).__bases__[0]
    del module.parametrizations
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value))
