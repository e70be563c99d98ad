"""Errors and updates of Lee 2016, sections 4 and 5, as functions of tensors.

Traces (eq. 3): x_k of a layer's inputs, a_i of its own spikes, each spike decaying with τ_mp. The
paper does not say at which t it takes them. The output is judged by its spikes over the whole run,
so eq. 5 is used in its mean over the run: at the end of it, the few spikes of the last 20 ms would
stand for all. A neuron or synapse is active where it has spiked. Shapes: weight [N, M], theta [N],
traces and errors [B, M] or [B, N].

Signs. Eq. 8 solves eq. 7 with κ_ij = −μ, μ > 0 being the strength. Eq. 12 for the thresholds is
used with the sign that follows from eq. 6, ∂a/∂θ = −(∂a/∂s)·â: a neuron that should be more active
gets a lower threshold.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from network.over_batch import mean_over_batch

RESET = 1.0  # γ
EFFICACY = 0.5  # σ, expected efficacy of lateral inhibition


def mean_trace(counts: Tensor, decay: float, timesteps: int) -> Tensor:
    """Σ_t x(t)/T of eq. 3, every spike with its whole tail: counts/(T·(1 − e^(−Δ/τ)))."""
    return counts / (timesteps * (1.0 - decay))


def output_error(counts: Tensor, labels: Tensor, balance: float) -> Tensor:
    """From L = ½‖a − y‖², a = c/max c (section 6): [B, K] from output spikes c [B, K].

    e_i − balance·[c_i is the largest]·Σ_j e_j·a_j, e = a − y; equal largest counts share the sum.
    With balance 1 this is max c·∂L/∂c_i: it asks for no other total of output spikes. With 0 it
    is e, as the paper has it: errors ask for fewer spikes, which a does not show, and the output
    falls nearly silent. Between them the total is bounded on either side.
    """
    most = counts.amax(dim=-1, keepdim=True)
    answer = counts / most.clamp(min=1.0)
    error = answer - nn.functional.one_hot(labels, counts.shape[-1]).to(counts.dtype)
    largest = ((counts == most) & (most > 0)).to(counts.dtype)
    share = largest / largest.sum(dim=-1, keepdim=True).clamp(min=1.0)
    return error - balance * share * (error * answer).sum(dim=-1, keepdim=True)


def scaled_gain(theta: Tensor, active: Tensor) -> Tensor:
    """g_i/ḡ, g = 1/θ, ḡ its root mean square over the active neurons: [B, N], 0 where silent."""
    gain = 1.0 / theta
    count = active.sum(dim=-1, keepdim=True).clamp(min=1.0)
    mean = ((gain.square() * active).sum(dim=-1, keepdim=True) / count).sqrt()
    return torch.where(active > 0, gain / mean.clamp(min=torch.finfo(gain.dtype).tiny), 0.0)


def backward_through(
    weight: Tensor, theta: Tensor, error: Tensor, active: Tensor, inhibition: float
) -> Tensor:
    """Σ_j δ_j·w̃_ji: the error that reaches a layer's inputs, [B, M].

    Without inhibition w̃ = w. In a winner-take-all group (eq. 8), with n active neurons::

        w̃_ji = γ/(γ − μσ) · (w_ji − μσθ_j/(γ + μσ(n − 1)) · Σ_h w_hi/θ_h)
    """
    plain = error @ weight
    if not inhibition:
        return plain
    strength = inhibition * EFFICACY
    count = active.sum(dim=-1, keepdim=True)
    share = strength / (RESET + strength * (count - 1.0).clamp(min=0.0))
    together = (active / theta) @ weight
    pulled = share * (error * theta).sum(dim=-1, keepdim=True) * together
    return RESET / (RESET - strength) * (plain - pulled)


def hidden_error(theta: Tensor, active: Tensor, arrived: Tensor) -> Tensor:
    """δ_i = (g_i/ḡ)·√(M/m)·arrived_i (eq. 11): M neurons of this layer, m of them active."""
    count = active.sum(dim=-1, keepdim=True).clamp(min=1.0)
    return scaled_gain(theta, active) * (active.shape[-1] / count).sqrt() * arrived


def weight_gradient(error: Tensor, inputs: Tensor) -> Tensor:
    """√(N/m)·δ_i·x_j (eq. 12), mean over the batch: [N, M]; m active synapses."""
    active = (inputs != 0).sum(dim=-1, keepdim=True).clamp(min=1)
    scaled = error * (error.shape[-1] / active).sqrt()
    return scaled.T @ inputs / len(inputs)


def threshold_gradient(error: Tensor, inputs: Tensor, trace: Tensor, inhibition: float) -> Tensor:
    """−√(N/(mM))·δ_i·â_i with â_i = γa_i + σμΣ_{j≠i} a_j (eq. 12), mean over the batch: [N]."""
    active = (inputs != 0).sum(dim=-1, keepdim=True).clamp(min=1)
    others = trace.sum(dim=-1, keepdim=True) - trace
    effective = RESET * trace + EFFICACY * inhibition * others
    scale = (error.shape[-1] / (active * inputs.shape[-1])).sqrt()
    return -(scale * error * effective).mean(dim=0)


def exponential_regularisation(weight: Tensor, strength: float, steepness: float) -> Tensor:
    """Gradient of ½λ·exp(β(Σ_j w_ij² − 1)) (eq. 13): λβ·w·exp(β(Σ_j w_ij² − 1)), [N, M].

    The exponent is held at 5: beyond it one update of ordinary size would overshoot 0.
    """
    excess = weight.square().sum(dim=1, keepdim=True) - 1.0
    return strength * steepness * weight * torch.exp((steepness * excess).clamp(max=5.0))


def threshold_shift(counts: Tensor, rate: float) -> Tensor:
    """Threshold regularisation (section 5.2) over a run, mean over the batch: [N].

    Every spike of neuron i adds ρN to θ_i, every spike of any neuron takes ρ from all:
    Δθ_i = ρ(N·c_i − Σ_j c_j), counts c [B, N]. The sum over the group is 0.
    """
    units = counts.shape[-1]
    return rate * mean_over_batch(units * counts - counts.sum(dim=-1, keepdim=True), (0,))
