"""What adds to a current in one chunk of steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Part:
    """One thing that adds to a current: whole numbers [T, B, ...] of any type, times a factor."""

    numbers: Tensor
    factor: int | Tensor

    def add_onto(self, v: Tensor, t: int, scratch: Tensor) -> None:
        """v += factor · numbers[t] in int32; scratch is as large as v."""
        numbers = self.numbers[t]
        whole = numbers if numbers.dtype == torch.int32 else scratch.copy_(numbers)
        if isinstance(self.factor, Tensor):
            v.addcmul_(whole, self.factor)
        else:
            v.add_(whole, alpha=self.factor)
