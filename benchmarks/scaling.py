"""Rates and memory behind docs/scaling.md: `python -m benchmarks.scaling NAME`, one per process.

NAME: resnet34 or resnet50 (torchvision's, 224×224, untrained: one sweep of a converted network),
or train-plain13 (one step of bptt on 32×32). Processor seconds of one thread, and the process's
largest resident memory.
"""

from __future__ import annotations

import resource
import sys
import time

import torch
import torchvision
from torch import nn

from compare.sweep import sweep
from conversion import convert
from direct import prepare
from network.architectures import Geometry, build
from network.graph import trace
from network.wiring import wiring

IMAGES, STEPS = 4, 8  # of the sweep
BATCH, TRAIN_STEPS = 100, 10  # of the training step


class Noise:
    """Random images, as a data set gives them out."""

    def __init__(self, count: int, size: int) -> None:
        self.images = torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.images[indices], torch.zeros(len(indices), dtype=torch.int64)


def operations(network: nn.Module, size: int) -> int:
    """Multiply-adds of one forward pass of one image."""
    return sum(s.operations for s in wiring(trace(network.eval()), (3, size, size)).synapses)


def sweep_seconds(network: nn.Module) -> float:
    """Processor seconds of a sweep of the converted network in int16."""
    data = Noise(IMAGES, 224)
    converted = convert(network.eval(), data.images, method="robust-norm").network
    start = time.process_time()
    outcome = sweep(
        converted, data, (3, 224, 224), STEPS,
        seed=0, batch_size=IMAGES, device=torch.device("cpu"), precision="int16",
        advance=lambda images: None,
    )  # fmt: skip
    seconds = time.process_time() - start
    sys.stdout.write(f"arithmetic: {outcome.arithmetic}\n")
    return seconds


def training_seconds(network: nn.Module) -> float:
    """Processor seconds of loss and gradient of one batch, the second of two."""
    images, labels = torch.rand(BATCH, 3, 32, 32), torch.arange(BATCH)
    trainable = prepare(
        network, rule="bptt", timesteps=TRAIN_STEPS, images=images[:32], labels=labels[:32]
    )
    trainable.network.train()
    seconds = 0.0
    for _ in range(2):
        start = time.process_time()
        trainable.objective(images, labels, labels).loss.backward()
        seconds = time.process_time() - start
    return seconds


def main() -> None:
    torch.set_num_threads(1)
    name = sys.argv[1]
    if name == "train-plain13":
        network = build("plain13", Geometry(3, 32, 32, 100))
        work = operations(network, 32)
        seconds, count = training_seconds(network), BATCH * TRAIN_STEPS
    else:
        network = torchvision.models.get_model(name)
        work = operations(network, 224)
        seconds, count = sweep_seconds(network), IMAGES * STEPS
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sys.stdout.write(
        f"{name}: {work / 1e9:.2f} G multiply-adds per image and step; {count / seconds:.2f} "
        f"image-steps/s, {work * count / seconds:.3g} multiply-adds/s; {memory:.1f} GiB at most\n"
    )


if __name__ == "__main__":
    main()
