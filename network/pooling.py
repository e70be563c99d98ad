"""Max pooling of currents that stays exact over time."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class PooledState(NamedTuple):
    """Current summed since the first step, [B, ...], and its pooled value."""

    total: Tensor
    pooled: Tensor


class PooledCurrent(nn.Module):
    """Max pooling in front of spiking neurons: z_out(t) = pool(Z(t)) − pool(Z(t − 1)), Z = Σ z.

    The current that went out up to t is then the maximum of the currents that came in up to t,
    as the ANN's is. Pooling step by step would add up the maxima of the fluctuations instead.
    """

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, current: Tensor) -> Tensor:
        """What it does to a current that is the same at every step."""
        pooled: Tensor = self.pool(current)
        return pooled

    def advance(self, current: Tensor, state: PooledState | None) -> tuple[Tensor, PooledState]:
        """Current [T, B, ...] and state to (pooled current [T, B, ...], state)."""
        if state is None:
            precise = torch.promote_types(current.dtype, torch.float32)
            total = torch.zeros_like(current[0], dtype=precise)
            state = PooledState(total, self.pool(total))
        pooled = []
        for z in current:
            total = state.total + z
            after = self.pool(total)
            pooled.append(after - state.pooled)
            state = PooledState(total, after)
        return torch.stack(pooled), state
