"""One unroll to the largest T over all test images: accuracy and counts at every smaller T."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from conversion.folding import fold
from network.activity import ActivityCounter, EffectiveMacs, count_activity
from network.encodings import image_keys
from network.fit import Batches
from network.fixed import Bits, FixedPointNetwork, NotFixedPoint, fixed_point, unroll_fixed
from network.graph import Kind, layers
from network.unroll import SpikingNetwork, unroll
from network.wiring import INPUT, Layer, Wiring
from reports.energy import energy_pj_per_image

ENERGY_MODEL = "horowitz-fp32"
Advance = Callable[[int], None]
BITS: dict[str, Bits] = {"int16": 16, "int8": 8}

SWEEP_COLUMNS = (
    "timestep", "images", "correct", "accuracy", "spikes_per_image", "input_spikes_per_image",
    "pooling_spikes_per_image", "ac_per_image", "mac_per_image", "mac_uncached_per_image",
    "effective_mac_per_image", "neuron_updates_per_image", "energy_pj_per_image",
)  # fmt: skip
LAYER_COLUMNS = (
    "timestep", "index", "layer", "kind", "operation", "neurons", "spikes_per_image",
    "ac_per_image", "mac_per_image", "neuron_updates_per_image", "in_channels", "out_channels",
    "kernel_height", "kernel_width", "stride", "out_height", "out_width",
    "input_spikes_per_image",
)  # fmt: skip


@dataclass(frozen=True)
class Sweep:
    """Predictions of every image at every T, and the rows of sweep.csv and layers.csv.

    arithmetic: what the sweep was computed in, in words.
    """

    timesteps: npt.NDArray[np.int32]  # [n]
    predicted: npt.NDArray[np.int16]  # [n, images]
    labels: npt.NDArray[np.int16]  # [images]
    rows: list[dict[str, Any]]
    layers: list[dict[str, Any]]
    arithmetic: str

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
) -> Sweep:
    """Accuracy, spikes and operations of a spiking network at T = 1 … timesteps.

    precision: float32, bfloat16, int16 or int8 (METHODS.md section 9); float32 where the network
        has parts that whole numbers do not cover, which `arithmetic` then says.
    advance: called with the number of images just done.
    """
    network = folded(network).to(device)
    fixed, arithmetic = _fixed(network, shape, precision)
    counter = count_activity(network, shape, timesteps)
    if fixed is not None:
        counter.heights = dict.fromkeys(counter.heights, torch.ones(()))
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
    predicted, labels = [], []
    for indices in torch.arange(len(data)).split(batch_size):
        images, truth = data.batch(indices)
        keys = image_keys(seed, indices).to(device)
        images = images.to(device)
        if fixed is not None:
            outputs = unroll_fixed(fixed, images, timesteps, keys=keys, taps=[counter])
        else:
            with autocast:
                outputs = unroll(network, images, timesteps, keys=keys, taps=[counter])
            outputs = outputs.float()
        predicted.append(network.read(outputs).argmax(-1).to(torch.int16).cpu())
        labels.append(truth.to(torch.int16))
        advance(len(indices))
    answers, truths = torch.cat(predicted, dim=1).numpy(), torch.cat(labels).numpy()
    steps = np.arange(1, timesteps + 1, dtype=np.int32)
    correct = (answers == truths[None]).sum(1)
    rows = _spiking_rows(counter, steps, correct, len(truths))
    return Sweep(steps, answers, truths, rows, _spiking_layers(counter, steps), arithmetic)


def folded(network: SpikingNetwork) -> SpikingNetwork:
    """The network as it runs when it is used: in eval mode, every batch norm folded."""
    network.eval()
    if next(layers(network.body, Kind.NORM), None) is None:
        return network
    twin = copy.deepcopy(network).requires_grad_(False)
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
    for indices in torch.arange(len(data)).split(batch_size):
        images, truth = data.batch(indices)
        predicted.append(counter.run(images.to(device)).argmax(-1).to(torch.int16).cpu())
        labels.append(truth.to(torch.int16))
        advance(len(indices))
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
    return Sweep(
        np.zeros(1, np.int32), answers, truths, [row], _ann_layers(counter.wires), "float32"
    )


def accuracy_of(
    classify: Callable[[Tensor, Tensor], Tensor], data: Batches, batch_size: int
) -> float:
    """Share of images that classify(images, indices) -> scores [B, K] gets right."""
    correct = 0
    with torch.no_grad():
        for indices in torch.arange(len(data)).split(batch_size):
            images, labels = data.batch(indices)
            correct += int((classify(images, indices).argmax(-1).cpu() == labels).sum())
    return correct / len(data)


def _spiking_rows(
    counter: ActivityCounter,
    steps: npt.NDArray[np.int32],
    correct: npt.NDArray[Any],
    images: int,
) -> list[dict[str, Any]]:
    zero = torch.zeros(len(steps), dtype=torch.float64)
    kinds = {layer.name: layer.kind for layer in counter.wires.layers}
    totals = {"hidden": zero, "pooling": zero, "input": zero}
    for name, counted in counter.spikes.items():
        totals[kinds[name]] = totals[kinds[name]] + counted
    spikes = {kind: (t.cumsum(0) / images).tolist() for kind, t in totals.items()}
    ac = (sum(counter.accumulates.values(), zero).cumsum(0) / images).tolist()
    analogue = [s for s in counter.wires.synapses if s.analogue]
    once = sum(s.operations for s in analogue if s.static)
    each = sum(s.operations for s in analogue if not s.static)
    neurons = sum(layer.neurons for layer in counter.wires.layers if layer.kind in _SPIKING)
    spiking_input, pooling = INPUT in counter.spikes, "pooling" in kinds.values()
    rows = []
    for i, t in enumerate(steps.tolist()):
        mac = float(once + each * t)
        rows.append(
            {
                "timestep": t,
                "images": images,
                "correct": int(correct[i]),
                "accuracy": int(correct[i]) / images,
                "spikes_per_image": spikes["hidden"][i],
                "input_spikes_per_image": spikes["input"][i] if spiking_input else None,
                "pooling_spikes_per_image": spikes["pooling"][i] if pooling else None,
                "ac_per_image": ac[i],
                "mac_per_image": mac,
                "mac_uncached_per_image": float((once + each) * t),
                "neuron_updates_per_image": float(neurons * t),
                "energy_pj_per_image": energy_pj_per_image(ENERGY_MODEL, ac=ac[i], mac=mac),
            }
        )
    return rows


_SPIKING = ("hidden", "pooling")


def _spiking_layers(counter: ActivityCounter, steps: npt.NDArray[np.int32]) -> list[dict[str, Any]]:
    cumulative = {n: (s.cumsum(0) / counter.images).tolist() for n, s in counter.spikes.items()}
    adds = {n: (s.cumsum(0) / counter.images).tolist() for n, s in counter.accumulates.items()}
    rows = []
    for i, t in enumerate(steps.tolist()):
        for index, layer in enumerate(counter.wires.layers):
            targets = {*(s.name for s in layer.synapses), layer.name}  # the last: shortcuts
            macs = [s.operations * (1 if s.static else t) for s in layer.synapses if s.analogue]
            arriving = [cumulative[n][i] for n in _reads(layer) if n in cumulative]
            spiking = layer.kind in _SPIKING
            rows.append(
                {
                    **_layer_facts(index, layer),
                    "timestep": t,
                    "spikes_per_image": cumulative[layer.name][i]
                    if layer.name in cumulative
                    else None,
                    "ac_per_image": sum(adds[n][i] for n in targets if n in adds),
                    "mac_per_image": float(sum(macs)),
                    "neuron_updates_per_image": float(layer.neurons * t) if spiking else None,
                    "input_spikes_per_image": sum(arriving) if arriving else None,
                }
            )
    return rows


def _ann_layers(wires: Wiring) -> list[dict[str, Any]]:
    return [
        {
            **_layer_facts(index, layer),
            "timestep": 0,
            "mac_per_image": float(sum(s.operations for s in layer.synapses)),
        }
        for index, layer in enumerate(wires.layers)
    ]


def _reads(layer: Layer) -> tuple[str, ...]:
    return layer.synapses[-1].reads if layer.synapses else ()


def _layer_facts(index: int, layer: Layer) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "index": index,
        "layer": layer.name,
        "kind": layer.kind,
        "neurons": layer.neurons,
    }
    if layer.synapses:
        facts["operation"] = layer.synapses[-1].operation
        facts.update(layer.synapses[-1].geometry)
    return facts
