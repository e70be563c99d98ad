"""The four founding papers as values: what each trained on MNIST or CIFAR-10, part by part.

A preset names entries of the registries; `options` are those of its rule. Timesteps are the
paper's, epochs where it names them; a study may shorten the recipe (`dataclasses.replace`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from network.recipe import Recipe
from network.registry import Registry


@dataclass(frozen=True)
class Preset:
    """One paper's way of training.

    chosen_here: what the paper leaves open and we had to choose, or what is not as in the paper.
    """

    name: str
    summary: str
    source: str
    architecture: str
    rule: str
    recipe: Recipe
    timesteps: int
    encoding: str
    readout: str
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    batch_norm: bool = False
    dropout: float = 0.0
    chosen_here: str = ""


PRESETS: Registry[Preset] = Registry("preset")


PRESETS.add(
    Preset(
        name="lee2016",
        summary="fully connected groups with lateral inhibition, through membrane potentials",
        source="Lee 2016, tables 1 and 2",
        architecture="mlp-300-300",
        rule="membrane-bp",
        recipe=Recipe(
            epochs=150,
            batch_size=20,
            optimiser="adam",
            learning_rate=1e-3,
            weight_decay=0.0,
            schedule="cosine",
        ),
        timesteps=50,
        encoding="poisson-total",
        readout="spike-count",
        options=MappingProxyType({"weight_lambda": 0.02, "output_lambda": 0.02}),
        chosen_here="150 epochs (figure 1a; table 2: 200), Adam at 1e-3 (paper: 0.002 to 0.004), "
        "batches of 20 (paper: 1), a first epoch of 50 ms as the others (paper: 200), "
        "cosine for exp(−epoch/35), α = 3 of 3 to 10, λ = 0.02 of 0.002 to 0.04; "
        "thresholds at a tenth of the rate with Adam too (paper: at it) and exponential "
        "regularisation of the output layer too (paper: of hidden ones), "
        "without which firing grows over the epochs; lowest threshold half of the first, and what "
        "gradients take below it is given back (paper: weights rise instead); traces in their "
        "mean over the run; three quarters of the largest output's own slope in the error "
        "(paper: none); threshold regularisation per update, so 20 times weaker for an "
        "image than with the paper's batches of 1; a refractory time of 1 ms, in steps of 1 ms, "
        "keeps no spike back",
    )
)
PRESETS.add(
    Preset(
        name="ledinauskas2020",
        summary="IF neurons with soft reset, tuned surrogate width, balanced thresholds",
        source="Ledinauskas 2020, sections 3.1 and 3.2 (MNIST)",
        architecture="mnist-cnn",
        rule="tune-width",
        recipe=Recipe(epochs=30, batch_size=100, learning_rate=2e-3, weight_decay=0.01),
        timesteps=10,
        encoding="constant",
        readout="mean-current",
        options=MappingProxyType({"neuron": "if", "reset": "soft", "surrogate": "fast-sigmoid"}),
        dropout=0.5,
        chosen_here="epochs, batch size, maximum learning rate (paper: by a range test); in a "
        "study thresholds are balanced on 500 training images (paper: on all); the logits are the "
        "mean current (paper: its sum, T times as large); spikes reach the next layer in their own "
        "step (paper: one later)",
    )
)
PRESETS.add(
    Preset(
        name="lee2020",
        summary="spike-based backpropagation of LIF neurons with spiking pooling",
        source="Lee 2020, tables 2 and 4",
        architecture="lenet",
        rule="spike-bp",
        recipe=Recipe(
            epochs=150,
            batch_size=32,
            optimiser="sgd",
            learning_rate=2e-3,
            momentum=0.9,
            weight_decay=0.0,
            schedule="step",
            milestones=(70, 100, 125),
        ),
        timesteps=50,
        encoding="poisson",
        readout="membrane",
        options=MappingProxyType({"tau": 100.0, "reset": "hard", "pooling_threshold": 0.75}),
        dropout=0.2,
        chosen_here="spiking pooling fires where it reaches 0.75, which 3 of 4 spikes do (paper: "
        "where it exceeds that; pooling_threshold = 0.8 does so); "
        "momentum 0.9 and a factor of 0.1 at the milestones; a rate of 0.002 of 0.002 to 0.003, "
        "batches of 32 of 16 to 32, dropout of 0.2 of 0.2 to 0.25; loss and ΔW are means "
        "over the batch (with sums the same rate would be 32 times as much); "
        "dropout in front of the output layer alone, or behind hidden fully connected ones (paper, "
        "algorithm 1: behind every layer)",
    )
)
PRESETS.add(
    Preset(
        name="zheng2021",
        summary="deep residual networks with threshold-dependent batch norm",
        source="Zheng 2021, tables 1, 4 and 5 (CIFAR-10)",
        architecture="resnet19",
        rule="tdbn",
        recipe=Recipe(
            epochs=120,
            batch_size=36,
            optimiser="sgd",
            learning_rate=0.1,
            momentum=0.9,
            weight_decay=0.0,
            schedule="step",
            milestones=(35, 70, 105),
        ),
        timesteps=4,
        encoding="constant",
        readout="mean-current",
        options=MappingProxyType(
            {"neuron": "lif-iterative", "tau": 0.25, "threshold": 1.0, "surrogate": "rectangle"}
        ),
        batch_norm=True,
        chosen_here="number of epochs; θ = 1 as in its figures 3 and 4, τ_decay = 0.25 as in "
        "its examples, a rectangle of width 1",
    )
)
