"""Training one neuron to fire a given spike train (Ledinauskas 2020, section 2.3).

The spikes S of the loss carry no gradient; it reaches the weights through the potential U alone,
without surrogate. Shapes: inputs [T, M], weights [M], potentials and spike trains [T].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from network.neurons import Dynamics, step


@dataclass(frozen=True)
class Run:
    """Potentials U before the reset (with gradient) and spikes S (without), both [T]."""

    potentials: Tensor
    spikes: Tensor


def simulate(
    weights: Tensor, inputs: Tensor, *, theta: float = 1.0, dynamics: Dynamics | None = None
) -> Run:
    """One neuron over T steps; resets carry no gradient."""
    rule = dynamics or Dynamics()
    v, threshold = weights.new_zeros(()), weights.new_tensor(theta)
    potentials, spikes = [], []
    for current in inputs @ weights:
        potentials.append(rule.decay * v + current)
        fired, v = step(current, v, threshold, decay=rule.decay, reset=rule.reset)
        spikes.append(fired)
    return Run(torch.stack(potentials), torch.stack(spikes).detach())


def error_energy(run: Run, target: Tensor) -> Tensor:
    """L = Σ_t (S(t) − S_gt(t))·U(t) (eq. 3)."""
    return ((run.spikes - target) * run.potentials).sum()


def filtered_error_energy(run: Run, target: Tensor, kernel: Tensor) -> Tensor:
    """L = Σ_t [(α∗S)(t) − (α∗S_gt)(t)]·(α∗U)(t) with a causal kernel α [L] (eqs. 4, 5)."""
    error = convolve(run.spikes - target, kernel)
    return (error * convolve(run.potentials, kernel)).sum()


def class_energy(run: Run, target: int, count: int = 0) -> Tensor:
    """L = [Θ(Y) − Y_gt]·Σ_t U(t), Y = Σ_t S(t) − count (eq. 6): more than `count` spikes or not."""
    answer = (run.spikes.sum() > count).to(run.potentials.dtype)
    return (answer - target) * run.potentials.sum()


def convolve(signal: Tensor, kernel: Tensor) -> Tensor:
    """(α∗X)(t) = Σ_{t' ≤ t} α(t − t')·X(t'), [T]."""
    length = len(kernel)
    padded = torch.cat([signal.new_zeros(length - 1), signal])
    return padded.unfold(0, length, 1) @ kernel.flip(0)


@dataclass(frozen=True)
class Fit:
    """weights after training; errors: steps where S differs from S_gt, by update."""

    weights: Tensor
    errors: tuple[int, ...]
    spikes: Tensor


def fit_spike_train(
    inputs: Tensor,
    target: Tensor,
    *,
    generator: torch.Generator,
    kernel: Tensor | None = None,
    updates: int = 500,
    learning_rate: float = 0.003,
) -> Fit:
    """The demonstration: find weights [M] with which the neuron answers inputs with the target.

    Plain gradient descent on eq. 3, or on eq. 4 where a kernel is given; it stops at no error. A
    long kernel makes nearby spikes nearly as good: some steps may then stay wrong.
    """
    weights = 0.1 * torch.randn(inputs.shape[1], generator=generator)
    weights.requires_grad_(True)
    errors: list[int] = []
    run = simulate(weights, inputs)
    for _ in range(updates):
        if kernel is None:
            loss = error_energy(run, target)
        else:
            loss = filtered_error_energy(run, target, kernel)
        (slope,) = torch.autograd.grad(loss, [weights])
        with torch.no_grad():
            weights -= learning_rate * slope
        run = simulate(weights, inputs)
        errors.append(int((run.spikes - target).abs().sum()))
        if errors[-1] == 0:
            break
    return Fit(weights.detach(), tuple(errors), run.spikes)
