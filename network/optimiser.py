"""The optimiser of a recipe, and its learning rate."""

from __future__ import annotations

import torch
from torch import nn

from network.recipe import Recipe


def make_optimiser(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimiser of a recipe; norms, biases and thresholds are not decayed.

    A module's own parameters are learned at its `learning_share` of the rate, where it has one:
    an Adam step does not depend on how its gradient is scaled.
    """
    grouped: dict[tuple[float, bool], list[nn.Parameter]] = {}
    seen: set[int] = set()
    for module in network.modules():
        own = float(getattr(module, "learning_share", 1.0))
        norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                share = own * (recipe.bias_rate if norm and name == "bias" else 1.0)
                grouped.setdefault((share, parameter.ndim > 1), []).append(parameter)
    groups = [
        {
            "params": grouped[share, matrices],
            "weight_decay": recipe.weight_decay if matrices else 0.0,
            "share": share,
        }
        for share, matrices in sorted(grouped, reverse=True)
    ]
    rate = recipe.learning_rate
    optimiser: torch.optim.Optimizer
    if recipe.optimiser == "sgd":
        optimiser = torch.optim.SGD(
            groups, lr=rate, momentum=recipe.momentum, nesterov=recipe.nesterov
        )
    else:
        kind = torch.optim.AdamW if recipe.optimiser == "adamw" else torch.optim.Adam
        optimiser = kind(groups, lr=rate)
    set_rate(optimiser, rate)
    return optimiser


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of an optimiser of `make_optimiser`, each group at its share of it."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("share", 1.0)
