"""Losses of direct training: a registry of functions of one signature."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from network.registry import Registry

# loss(outputs of every step [T, B, K], scores of the readout after T [B, K], labels [B]) -> scalar
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

LOSSES: Registry[Loss] = Registry("loss")

TET_WEIGHT = 0.05  # λ


@LOSSES.register("cross-entropy")
def cross_entropy(outputs: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the readout after the last step."""
    del outputs
    return F.cross_entropy(scores, labels)


@LOSSES.register("mse")
def mse(outputs: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
    """½ Σ_k (score_k − onehot_k)², mean over the batch (Lee 2020, eqs. 8 and 9; Lee 2016)."""
    del outputs
    error = scores - F.one_hot(labels, scores.shape[-1]).to(scores.dtype)
    return 0.5 * error.square().sum(dim=-1).mean()


@LOSSES.register("tet")
def tet(outputs: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
    """Temporal efficient training (Deng 2022): each step answers for itself.

    (1 − λ)·mean_t CE(o(t), y) + λ·mean_t MSE(o(t), θ), with o(t) the output of step t alone and
    θ = 1; for other thresholds see `loss_of`.
    """
    return _tet(outputs, scores, labels, theta=1.0)


def _tet(outputs: Tensor, scores: Tensor, labels: Tensor, *, theta: float) -> Tensor:
    del scores
    steps, batch, classes = outputs.shape
    each = F.cross_entropy(outputs.reshape(steps * batch, classes), labels.repeat(steps))
    spread = (outputs - theta).square().mean()
    return (1.0 - TET_WEIGHT) * each + TET_WEIGHT * spread


def loss_of(name: str, theta: float = 1.0) -> Loss:
    """The loss of this name for a network of neurons with threshold θ, which only `tet` reads.

    θ: of all neurons where a rule has one (`threshold` of tdbn and tet), else 1.
    """
    loss = LOSSES.get(name)
    return partial(_tet, theta=theta) if loss is tet else loss
