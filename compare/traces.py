"""What the neurons of a case do, step by step: one image in full, firing rates over some more."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from compare.sweep import folded
from network.encodings import image_keys
from network.fit import Batches
from network.neurons import NeuronState, per_channel
from network.unroll import SpikingNetwork, unroll

STEPS = 64  # at most
IMAGES = 32  # over which rates are averaged; the first of them is the one that is traced
WATCHED = 768  # neurons of the whole network, so that deep networks leave small files too
WATCHED_PER_LAYER = 64

Traces = dict[str, npt.NDArray[Any]]


@torch.no_grad()
def trace_neurons(
    network: SpikingNetwork,
    data: Batches,
    timesteps: int,
    *,
    run_seed: int,
    watch_seed: int,
    device: torch.device,
) -> Traces:
    """The arrays of traces.npz, from the first images of `data`, run in float32.

    run_seed: of the input's random numbers, as in the sweep; watch_seed: of the choice of neurons.
    Of the first image: raster bool [T, neurons], with `layers` (names) and raster_layer [neurons]
    (places in them); membrane_LAYER float16 [T, neurons], v/θ after the reset of every step;
    currents float32 [T, K] of the outputs; label. Of all images together: rates_LAYER float32
    [neurons], spikes per step.
    """
    network = folded(network).to(device)
    steps = min(timesteps, STEPS)
    indices = torch.arange(min(IMAGES, len(data)))
    images, labels = data.batch(indices)
    watch = _Watch(network, watch_seed)
    keys = image_keys(run_seed, indices).to(device)
    outputs = unroll(network, images.to(device), steps, keys=keys, chunk=1, taps=[watch])
    return {
        **watch.arrays(steps, len(indices)),
        "currents": outputs[:, 0].float().cpu().numpy(),
        "label": labels[0].numpy(),
    }


class _Watch:
    """A tap on some neurons of every layer; it takes chunks of one step."""

    def __init__(self, network: SpikingNetwork, seed: int) -> None:
        self.layers = network.neurons()
        self.most = min(WATCHED_PER_LAYER, max(1, WATCHED // max(1, len(self.layers))))
        self.generator = torch.Generator().manual_seed(seed)
        self.chosen: dict[str, Tensor] = {}
        self.spikes: dict[str, list[Tensor]] = {name: [] for name in self.layers}
        self.membranes: dict[str, list[Tensor]] = {name: [] for name in self.layers}
        self.counts: dict[str, Tensor] = {}

    def inputs(self, first: int, inputs: Tensor) -> None:
        """Inputs are not watched."""

    def neurons(
        self, name: str, first: int, current: Tensor, spikes: Tensor, state: NeuronState
    ) -> None:
        """Keep one step of the chosen neurons of a layer; current and spikes [1, B, ...]."""
        fired = spikes[0].flatten(1) != 0
        if name not in self.chosen:
            order = torch.randperm(fired.shape[1], generator=self.generator)
            self.chosen[name] = order[: self.most].sort().values.to(fired.device)
        chosen = self.chosen[name]
        share = state.v[:1] / per_channel(self.layers[name].theta, current)
        self.spikes[name].append(fired[0, chosen])
        self.membranes[name].append(share.flatten()[chosen])
        self.counts[name] = self.counts.get(name, 0) + fired[:, chosen].sum(0)

    def arrays(self, steps: int, images: int) -> Traces:
        """What was kept, by name of the array."""
        sizes = [len(self.chosen[name]) for name in self.layers]
        raster = [torch.stack(self.spikes[name]) for name in self.layers]
        kept: Traces = {
            "layers": np.array(list(self.layers)),
            "raster_layer": np.repeat(np.arange(len(sizes), dtype=np.int16), sizes),
            "raster": torch.cat(raster, dim=1).cpu().numpy(),
        }
        for name in self.layers:
            membrane = torch.stack(self.membranes[name]).half().cpu().numpy()
            kept[f"membrane_{name}"] = membrane
            kept[f"rates_{name}"] = (self.counts[name].float() / (steps * images)).cpu().numpy()
        return kept
