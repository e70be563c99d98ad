"""Rows of sweep.csv and layers.csv from what a counter has summed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from network.activity import ActivityCounter
from network.graph import INPUT
from network.wiring import Layer, Synapse, Wiring
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
    "input_spikes_per_image", "groups",
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
        spent = t + counter.observed
        mac = float(once + each * spent)
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
                "mac_uncached_per_image": float((once + each) * spent),
                "neuron_updates_per_image": float(neurons * spent),
                "energy_pj_per_image": energy_pj_per_image(ENERGY_MODEL, ac=ac[i], mac=mac),
            }
        )
    return rows


_SPIKING = ("hidden", "pooling")


def spiking_layers(counter: ActivityCounter, steps: npt.NDArray[np.int32]) -> list[dict[str, Any]]:
    spikes = {**counter.spikes, **counter.pooled}
    cumulative = {n: (s.cumsum(0) / counter.images).tolist() for n, s in spikes.items()}
    adds = {n: (s.cumsum(0) / counter.images).tolist() for n, s in counter.accumulates.items()}
    rows = []
    for i, t in enumerate(steps.tolist()):
        spent = t + counter.observed
        for index, layer in enumerate(counter.wires.layers):
            for synapse in _main_first(layer):
                main = synapse is None or synapse is _main(layer)
                targets = {layer.name} if main else set()  # the neurons': identity shortcuts
                targets |= {synapse.name} if synapse else set()
                reads = synapse.reads if synapse else ()
                arriving = [cumulative[n][i] for n in reads if n in cumulative]
                own = main and layer.name in cumulative
                updates = float(layer.neurons * spent) if main and layer.kind in _SPIKING else None
                rows.append(
                    {
                        **_facts(index, layer, synapse),
                        "timestep": t,
                        "spikes_per_image": cumulative[layer.name][i] if own else None,
                        "ac_per_image": sum(adds[n][i] for n in targets if n in adds),
                        "mac_per_image": _macs(synapse, spent),
                        "neuron_updates_per_image": updates,
                        "input_spikes_per_image": sum(arriving) if arriving else None,
                    }
                )
    return rows


def _macs(synapse: Synapse | None, timesteps: int) -> float:
    if synapse is None or not synapse.analogue:
        return 0.0
    return float(synapse.operations * (1 if synapse.static else timesteps))


def ann_layers(wires: Wiring) -> list[dict[str, Any]]:
    return [
        {
            **_facts(index, layer, synapse),
            "timestep": 0,
            "mac_per_image": float(synapse.operations) if synapse else 0.0,
        }
        for index, layer in enumerate(wires.layers)
        for synapse in _main_first(layer)
    ]


def _main(layer: Layer) -> Synapse | None:
    """The layer with weights that multiplies most of those in front of some neurons."""
    return max(layer.synapses, key=lambda synapse: synapse.operations, default=None)


def _main_first(layer: Layer) -> list[Synapse | None]:
    """The rows of a layer: one for itself with its main synapse, and one for every other."""
    main = _main(layer)
    return [main, *(synapse for synapse in layer.synapses if synapse is not main)]


def _facts(index: int, layer: Layer, synapse: Synapse | None) -> dict[str, Any]:
    """What does not depend on T. A synapse beside the main one is a shortcut, without neurons."""
    beside = synapse is not None and synapse is not _main(layer)
    facts: dict[str, Any] = {
        "index": index,
        "layer": synapse.name if beside and synapse else layer.name,
        "kind": "shortcut" if beside else layer.kind,
        "neurons": None if beside else layer.neurons,
    }
    if synapse is not None:
        facts["operation"] = synapse.operation
        facts.update(synapse.geometry)
    return facts
