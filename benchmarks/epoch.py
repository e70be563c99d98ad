"""An epoch of ANN training beside its convolutions and linear layers alone."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.workloads import Call, Workload
from compare.resolved import ANN_RECIPE
from conversion import quantise_activations
from network.fit import Outcome, fit
from network.fused import levels
from network.recipe import Recipe

BATCHES = 2  # of the epoch that is timed
LEVELS = 4


class _Images:
    def __init__(self, work: Workload) -> None:
        self.images = work.images().repeat(BATCHES, 1, 1, 1)

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self.images[indices], indices % 10


def epoch_calls(work: Workload) -> dict[str, Call]:
    """One epoch of `BATCHES` batches through `fit`, with ReLUs and quantised, and its layers with
    weights alone."""
    network = work.model(batch_norm=True)
    quantised = quantise_activations(network, LEVELS)
    data, recipe = _Images(work), Recipe(epochs=1, batch_size=work.batch)
    assert ANN_RECIPE.optimiser == recipe.optimiser  # what is timed is what studies train with

    def epoch(network: nn.Module) -> Call:
        def objective(images: Tensor, labels: Tensor, keys: Tensor) -> Outcome:
            del keys
            scores = network(images)
            return Outcome(F.cross_entropy(scores, labels), scores)

        return lambda: fit(network, objective, data, recipe, seed=0)

    def in_pytorch() -> object:
        with patch.object(levels, "kernel", lambda: None):
            return epoch(quantised)()

    alone = layers_alone(network, work.images())
    calls: dict[str, Call] = {
        "epoch of the ANN": epoch(network),
        f"epoch of the ANN with {LEVELS} levels": epoch(quantised),
    }
    if work.device == "cpu" and levels.kernel() is not None:
        calls[f"epoch of the ANN with {LEVELS} levels, in PyTorch"] = in_pytorch
    calls["its layers with weights alone"] = lambda: [
        step() for _ in range(BATCHES) for step in alone
    ]
    return calls


def layers_alone(network: nn.Module, images: Tensor) -> list[Callable[[], object]]:
    """Forward and backward pass of each convolution and linear layer, channels last."""
    found: list[tuple[nn.Module, Tensor]] = []
    hooks = [
        m.register_forward_hook(lambda layer, args, out: found.append((layer, args[0])))
        for m in network.modules()
        if isinstance(m, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        network.train()(images.contiguous(memory_format=torch.channels_last))
    for hook in hooks:
        hook.remove()
    return [_alone(layer, x, first=i == 0) for i, (layer, x) in enumerate(found)]


def _alone(layer: nn.Module, x: Tensor, *, first: bool) -> Callable[[], object]:
    x = x.detach().clone().requires_grad_(not first)
    gradient = torch.ones_like(layer(x))

    def step() -> object:
        layer.zero_grad(set_to_none=True)
        x.grad = None
        return layer(x).backward(gradient)

    return step
