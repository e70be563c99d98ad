"""Gradient by layer before training: what `tune-width` balances, and records of any rule."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from direct.rules import Task, Trainable
from network.graph import Kind, layers

Row = dict[str, str | float | int]


def record_gradients(trainable: Trainable, task: Task, parameter: str, value: float) -> None:
    """Add the rows of gradients.csv on as many images as a batch has."""
    batch = task.recipe.batch_size
    found = gradients_by_layer(trainable, task.images[:batch], task.labels[:batch])
    trainable.records["gradients"] = gradient_rows(parameter, value, found)


def gradient_rows(parameter: str, value: float, gradients: dict[str, float]) -> list[Row]:
    """Rows of gradients.csv: the gradients by layer at one value of a parameter."""
    return [
        {"parameter": parameter, "value": value, "index": i, "layer": layer, "gradient": gradient}
        for i, (layer, gradient) in enumerate(gradients.items())
    ]


def gradients_by_layer(trainable: Trainable, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Mean absolute gradient of the weights of every synaptic layer, in order; nothing is changed.

    One batch in train mode; running statistics and gradients are put back as they were. Layers
    whose weights are not trained are left out.
    """
    network = trainable.network
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    mode = network.training
    network.train()
    with torch.random.fork_rng(devices=[]), parametrize.cached():
        torch.manual_seed(0)  # the same dropout for every γ
        keys = torch.arange(len(labels), device=labels.device)
        loss, _ = trainable.objective(images, labels, keys)
        # read behind the pass: pruned weights, say, are those of the last call
        weights: dict[str, Any] = {
            node.name: layer.weight
            for node, layer in layers(network.body, Kind.SYNAPSE)
            if layer.weight.requires_grad
        }
    found = torch.autograd.grad(loss, list(weights.values()))
    network.train(mode)
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            buffer.copy_(buffers[name])
    return {
        name: gradient.abs().mean().item() for name, gradient in zip(weights, found, strict=True)
    }
