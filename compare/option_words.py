"""What every option of a method means, in a line: `isospike list METHOD` and docs/reference.md."""

from __future__ import annotations

import json
from collections.abc import Mapping

from compare import catalogue

# An option of one method under METHOD.OPTION, one that means the same wherever it is under OPTION.
MEANINGS: Mapping[str, str] = {
    # conversions
    "percentile": "of the activations, above 0 and at most 100",
    "definition": "of the percentile: over 'all' activations, or the 'nonzero' ones alone",
    "timesteps": "T that thresholds are made for",
    "spike-norm.timesteps": "steps in which the largest currents are looked for",
    "rmp.timesteps": "steps in which the largest currents are looked for",
    "rmp.scale": "thresholds as a share of those of spike-norm, above 0 and at most 1",
    "half-shift.thresholds": "the conversion that thresholds come from",
    "half-shift.percentile": "of that conversion, where it has one; 0: its default",
    "calibration.level": "'light' corrects biases; 'advanced' fits weights before that",
    "calibration.passes": "of Adam over the calibration images, with level 'advanced'",
    "calibration.learning_rate": "of Adam, with level 'advanced'",
    "qcfs.correction": "steps after which biases are corrected as in calibration; 0: never",
    "qcfs.delay": "first steps whose output the answer leaves out; they count as timesteps",
    "srp.steps": "τ, steps of observation; they count as timesteps",
    "offset.steps": "ρ, steps of observation; they count as timesteps",
    "local-balance.iterations": "batches of 100 images, one update of the thresholds each",
    "local-balance.learning_rate": "η, above 0 and at most 0.5",
    "local-balance.delay": "leave out the first steps, in which first spikes are on their way",
    # quantisation-aware ANN
    "qcfs-ann.levels": "L, steps of an activation above 0",
    "qcfs-ann.start": "λ, the scale of every layer, before training",
    "qcfs-ann.relu_share": "first share of the training in which activations are ReLUs still",
    "qcfs-ann.percentile": "of what a ReLU puts out, that λ follows during that share",
    "qcfs-ann.noise": "in front of rounding in training, in levels: uniform between ± half of it",
    "qcfs-ann.scale_rate": "rate at which λ is learned, as a share of that of the weights",
    # direct training
    "conversion": "the conversion that is fine-tuned",
    "neuron": "kind of neuron: `isospike list neurons`",
    "reset": "'soft' subtracts the threshold, 'hard' returns to 0",
    "tau": "time constant of lif in steps; τ_decay, a factor, of lif-iterative; not for if",
    "surrogate": "shape of the surrogate slope: `isospike list surrogates`",
    "gamma": "steepness of the slope over the potential, whose width is 2/γ",
    **dict.fromkeys(
        ("hybrid.gamma", "diet.gamma"),
        "steepness of the slope, whose width is 2/γ in units of the threshold",
    ),
    "tune-width.gamma": "steepness from which the search for a balanced one starts",
    "loss": "'cross-entropy', 'mse' or 'tet'",
    "spike-bp.loss": "'cross-entropy' or 'mse'",
    "rate-bp.loss": "'cross-entropy' or 'mse'",
    "balance": "thresholds from the largest currents, where no batch norm stands in front",
    "record_gradients": "keep the mean gradient of every layer for the figure gradients",
    "threshold": "θ of every neuron",
    "alpha": "α, factor on θ in threshold-dependent batch norm",
    "diet.leak": "learn one leak per layer too",
    "spiking_pooling": "neurons behind every average pooling of spikes",
    "pooling_threshold": "θ of these",
    "draw_weights": "weights from N(0, κ/fan-in): κ = 2, with residual sums 1",
    "tau_ms": "τ_mp, of the membrane, in ms",
    "refractory_ms": "time without spikes after a spike, in ms",
    "step_ms": "length of a step, in ms",
    "membrane-bp.alpha": "first thresholds: θ = α·√(3/M) with M inputs",
    "inhibition": "strength of lateral inhibition in the first hidden layer",
    "output_inhibition": "the same in the output layer",
    "weight_lambda": "λ, strength of exponential regularisation of hidden weights",
    "weight_beta": "β of that regularisation",
    "output_lambda": "its strength in the output layer",
    "threshold_rate": "rate at which thresholds learn, as a share of that of the weights",
    "rho": "ρ, step of threshold regularisation at the peak learning rate",
    "floor": "lowest threshold, as a share of the first one",
    "membrane-bp.balance": "share of the largest output's own slope in the error",
}


def meaning(method: str, option: str) -> str:
    """One line; raises KeyError for an option that nothing is said of."""
    own = f"{catalogue.rule_of(method)}.{option}"
    return MEANINGS[own if own in MEANINGS else option]


def lines(method: str) -> list[tuple[str, str]]:
    """("option = default" as in TOML, its meaning) of every option of a method."""
    options = catalogue.options(method).items()
    return [(f"{o} = {json.dumps(default)}", meaning(method, o)) for o, default in options]
