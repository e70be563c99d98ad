"""Learning-rate range test (Smith 2017; Ledinauskas 2020, section 3.1)."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace

import torch

from direct.rules import Trainable
from network.fit import Batches
from network.optimiser import make_optimiser, set_rate
from network.seeds import derived_seed

SMOOTHING = 0.7  # weight of the past in the running mean of the loss
BLOW_UP = 4.0  # times the least smoothed loss: the test stops


@dataclass(frozen=True)
class RangeTest:
    """rows: (learning rate, smoothed loss) per batch. suggestion: a maximum for a schedule."""

    rows: tuple[tuple[float, float], ...]
    suggestion: float


def learning_rate_range(
    trainable: Trainable,
    data: Batches,
    *,
    seed: int,
    lowest: float = 1e-6,
    highest: float = 1.0,
    batches: int = 50,
) -> RangeTest:
    """Raise the learning rate exponentially, batch by batch, until the loss blows up.

    Every batch is trained on as `fit` would, in the recipe's precision and with its clipping; what
    follows the learning rate otherwise has its full share (`membrane-bp`: of its thresholds). The
    suggestion is a third of the rate with the least smoothed loss, below which it still falls.
    The network ends as it began, without gradients.
    """
    if not 0 < lowest < highest:
        raise ValueError(f"rates must rise from above 0, got {lowest} to {highest}")
    if batches < 1:
        raise ValueError(f"batches must be at least 1, got {batches}")
    network = trainable.network
    saved, mode = copy.deepcopy(network.state_dict()), network.training
    network.train()
    optimiser = make_optimiser(network, replace(trainable.recipe, learning_rate=lowest))
    generator = torch.Generator().manual_seed(seed)
    rows: list[tuple[float, float]] = []
    for index in range(batches):
        rate = lowest * (highest / lowest) ** (index / max(1, batches - 1))
        set_rate(optimiser, rate)
        loss = _train_one_batch(trainable, data, optimiser, generator, derived_seed(seed, index))
        smooth = loss if not rows else SMOOTHING * rows[-1][1] + (1 - SMOOTHING) * loss
        if not math.isfinite(loss) or (rows and smooth > BLOW_UP * min(r[1] for r in rows)):
            break
        rows.append((rate, smooth))
    optimiser.zero_grad(set_to_none=True)
    network.load_state_dict(saved)
    network.train(mode)
    if not rows:
        raise ValueError(f"the loss is not finite at the lowest learning rate {lowest}")
    best = min(rows, key=lambda row: row[1])[0]
    return RangeTest(tuple(rows), best / 3.0)


def _train_one_batch(
    trainable: Trainable,
    data: Batches,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    seed: int,
) -> float:
    indices = torch.randint(len(data), (trainable.recipe.batch_size,), generator=generator)
    images, labels = data.batch(indices)
    keys = torch.randint(2**62, (len(labels),), generator=generator)
    parameters, recipe = list(trainable.network.parameters()), trainable.recipe
    device = parameters[0].device
    half = torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16")
    with torch.random.fork_rng(), half:
        torch.manual_seed(seed)
        loss, _ = trainable.objective(images.to(device), labels.to(device), keys.to(device))
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    if recipe.clip_gradient is not None:
        torch.nn.utils.clip_grad_norm_(parameters, recipe.clip_gradient)
    optimiser.step()
    return loss.item()
