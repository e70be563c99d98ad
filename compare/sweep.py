"""One unroll to the largest T over all test images: accuracy and counts at every smaller T."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from compare.faults import in_batches
from compare.halfway import Counted, Halfway, key_of, restore, snapshot
from compare.sweep_tables import ENERGY_MODEL, ann_layers, spiking_layers, spiking_rows
from conversion.folding import fold
from network.activity import ActivityCounter, EffectiveMacs, count_activity
from network.encodings import image_keys
from network.fit import Batches
from network.fixed import Bits, FixedPointNetwork, NotFixedPoint, fixed_point, unroll_fixed
from network.graph import Kind, layers
from network.reparametrised import is_reparametrised, plain_copy
from network.unroll import SpikingNetwork, unroll
from reports.energy import energy_pj_per_image

Advance = Callable[[int], None]
BITS: dict[str, Bits] = {"int24": 24, "int16": 16, "int8": 8}


@dataclass(frozen=True)
class Sweep:
    """Predictions of every image at every T, and the rows of sweep.csv and layers.csv.

    arithmetic: what the sweep was computed in, in words.
    halved: images at once after memory did not suffice for those that were asked for, or None.
    """

    timesteps: npt.NDArray[np.int32]  # [n]
    predicted: npt.NDArray[np.int16]  # [n, images]
    labels: npt.NDArray[np.int16]  # [images]
    rows: list[dict[str, Any]]
    layers: list[dict[str, Any]]
    arithmetic: str
    halved: int | None = None

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        return self.predicted == self.labels[None]


@torch.no_grad()
def sweep(
    network: SpikingNetwork,
    data: Batches,
    shape: tuple[int, ...],
    timesteps: int,
    *,
    seed: int,
    batch_size: int,
    device: torch.device,
    precision: str,
    advance: Advance,
    halfway: Halfway | None = None,
) -> Sweep:
    """Accuracy, spikes and operations of a spiking network at T = 1 … timesteps.

    precision: float32, bfloat16, int24, int16 or int8; float32 where the network
        has parts that whole numbers do not cover, which `arithmetic` then says.
    advance: called with the number of images just done.
    halfway: where a sweep that was cut off is kept, and goes on from.
    Raises OutOfMemory where half of batch_size is still too much.
    """
    network = folded(network).to(device)
    run = _Run(network, data, shape, timesteps, seed, batch_size, device, advance, halfway)
    fixed, arithmetic = _fixed(network, shape, precision)
    try:
        return run.sweep(fixed, arithmetic, half=precision == "bfloat16")
    except NotFixedPoint as error:  # of some of these images: all of them are swept in float32
        return run.sweep(None, f"float32, since {error}")


@dataclass(frozen=True)
class _Run:
    """What does not depend on the arithmetic of a sweep; network: folded."""

    network: SpikingNetwork
    data: Batches
    shape: tuple[int, ...]
    timesteps: int
    seed: int
    batch_size: int
    device: torch.device
    advance: Advance
    halfway: Halfway | None

    def sweep(
        self, fixed: FixedPointNetwork | None, arithmetic: str, *, half: bool = False
    ) -> Sweep:
        """In whole numbers, or in floating point where fixed is None (half: in bfloat16).

        Raises NotFixedPoint where whole numbers do not hold a batch; what was told to `advance`
        is taken back.
        """
        network, halfway = self.network, self.halfway or Halfway()
        counter = count_activity(network, self.shape, self.timesteps)
        if fixed is not None:
            counter.of_whole_numbers()
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=half)
        # whole numbers give the same whichever way they are summed, in batches of whatever size
        how = (f"int{fixed.bits}", 0) if fixed is not None else (arithmetic, self.batch_size)
        key = key_of(network, len(self.data), self.timesteps, self.seed, *how)
        counted = halfway.resume(key, counter)
        before = snapshot(counter)
        halved: list[int] = []
        self.advance(counted.images)

        def outputs_of(images: Tensor, keys: Tensor) -> Tensor:
            steps, taps = self.timesteps, [counter]
            if fixed is not None:
                held = counted.held
                return unroll_fixed(fixed, images, steps, keys=keys, taps=taps, held=held)
            with autocast:
                return unroll(network, images, steps, keys=keys, taps=taps).float()

        def work(indices: Tensor) -> None:
            nonlocal before
            images, truth = self.data.batch(indices)
            keys = image_keys(self.seed, indices).to(self.device)
            scores = network.read(outputs_of(images.to(self.device), keys))
            counted.predicted.append(scores.argmax(-1).to(torch.int16).cpu())
            counted.labels.append(truth.to(torch.int16))
            before = snapshot(counter)
            halfway.save_if_due(key, counter, counted)
            self.advance(len(indices))

        def undo() -> None:
            restore(counter, before)

        try:
            in_batches(counted.images, len(self.data), self.batch_size, work, undo, halved.append)
        except NotFixedPoint:
            self.advance(-counted.images)
            raise
        return _outcome(counter, counted, self.timesteps, arithmetic, halved)


def _outcome(
    counter: ActivityCounter, counted: Counted, timesteps: int, arithmetic: str, halved: list[int]
) -> Sweep:
    if counted.held:
        places = ", ".join(f"{name} {count}" for name, count in counted.held.items())
        arithmetic += f"; potentials that ended at ±2³⁰, where they are held: {places}"
    answers, truths = torch.cat(counted.predicted, dim=1).numpy(), torch.cat(counted.labels).numpy()
    steps = np.arange(1, timesteps + 1, dtype=np.int32)
    correct = (answers == truths[None]).sum(1)
    rows = spiking_rows(counter, steps, correct, len(truths))
    by_layer = spiking_layers(counter, steps)
    return Sweep(steps, answers, truths, rows, by_layer, arithmetic, *halved)


def folded(network: SpikingNetwork) -> SpikingNetwork:
    """The network as it runs when it is used: in eval mode, with plain weights, every batch norm
    folded."""
    network.eval()
    normed = next(layers(network.body, Kind.NORM), None) is not None
    if not normed and not is_reparametrised(network):
        return network
    twin = plain_copy(network).requires_grad_(False)
    fold(twin.body)
    return twin


def _fixed(
    network: SpikingNetwork, shape: tuple[int, ...], precision: str
) -> tuple[FixedPointNetwork | None, str]:
    """The network in whole numbers where that is asked for and possible, and what is computed."""
    if precision not in BITS:
        return None, precision
    try:
        fixed = fixed_point(network, shape, BITS[precision])
    except NotFixedPoint as error:
        return None, f"float32, since {error}"
    return fixed, f"{precision}: {fixed.note}"


@torch.no_grad()
def evaluate_ann(
    network: nn.Module,
    body: fx.GraphModule,
    data: Batches,
    shape: tuple[int, ...],
    *,
    batch_size: int,
    device: torch.device,
    advance: Advance,
) -> Sweep:
    """The ANN's one row (timestep 0) with its dense and effective MACs."""
    network.eval().to(device)
    counter = EffectiveMacs(body.eval(), shape)
    predicted, labels = [], []
    before = 0.0, 0
    halved: list[int] = []

    def work(indices: Tensor) -> None:
        nonlocal before
        images, truth = data.batch(indices)
        predicted.append(counter.run(images.to(device)).argmax(-1).to(torch.int16).cpu())
        labels.append(truth.to(torch.int16))
        before = counter.total, counter.images
        advance(len(indices))

    def undo() -> None:
        counter.total, counter.images = before

    in_batches(0, len(data), batch_size, work, undo, halved.append)
    answers, truths = torch.cat(predicted).numpy()[None], torch.cat(labels).numpy()
    correct = int((answers[0] == truths).sum())
    dense = float(sum(s.operations for s in counter.wires.synapses))
    row = {
        "timestep": 0,
        "images": len(truths),
        "correct": correct,
        "accuracy": correct / len(truths),
        "mac_per_image": dense,
        "effective_mac_per_image": counter.total / counter.images,
        "energy_pj_per_image": energy_pj_per_image(ENERGY_MODEL, ac=0.0, mac=dense),
    }
    layers = ann_layers(counter.wires)
    return Sweep(np.zeros(1, np.int32), answers, truths, [row], layers, "float32", *halved)


def accuracy_of(
    classify: Callable[[Tensor, Tensor], Tensor],
    data: Batches,
    batch_size: int,
    halved: Callable[[int], None],
) -> float:
    """Share of images that classify(images, indices) -> scores [B, K] gets right.

    Where memory does not suffice: halved(new size), and on with half as many images at once.
    """
    correct = 0

    def work(indices: Tensor) -> None:
        nonlocal correct
        images, labels = data.batch(indices)
        correct += int((classify(images, indices).argmax(-1).cpu() == labels).sum())

    with torch.no_grad():
        in_batches(0, len(data), batch_size, work, lambda: None, halved)
    return correct / len(data)
