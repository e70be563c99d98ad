"""Rows of sweep.csv and layers.csv from what a counter has summed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from network.activity import ActivityCounter
from network.wiring import INPUT, Layer, Wiring
from reports.energy import energy_pj_per_image

ENERGY_MODEL = "horowitz-fp32"
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


def spiking_rows(
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


def spiking_layers(counter: ActivityCounter, steps: npt.NDArray[np.int32]) -> list[dict[str, Any]]:
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


def ann_layers(wires: Wiring) -> list[dict[str, Any]]:
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
