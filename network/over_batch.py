"""What is taken over the images of a batch: over those of every process, where several share it.

They are what torch calls overridable: `network.team.WholeBatch` puts its own in their place.
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary


def mean_over_batch(x: Tensor, axes: tuple[int, ...], keepdim: bool = False) -> Tensor:
    """Mean over these axes, of which the batch must be one (or the axis that holds it)."""
    if has_torch_function_unary(x):
        result: Tensor = handle_torch_function(mean_over_batch, (x,), x, axes, keepdim)
        return result
    return x.mean(axes, keepdim=keepdim)


def variance_over_batch(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Variance (division by n) over these axes, of which the batch must be one."""
    if has_torch_function_unary(x):
        result: Tensor = handle_torch_function(variance_over_batch, (x,), x, axes)
        return result
    return x.var(axes, unbiased=False)


def numbers_over_batch(x: Tensor, axes: tuple[int, ...]) -> int:
    """How many numbers a mean over these axes is of."""
    if has_torch_function_unary(x):
        result: int = handle_torch_function(numbers_over_batch, (x,), x, axes)
        return result
    return math.prod(x.shape[axis] for axis in axes)


def first_image(x: Tensor) -> int:
    """Place in the batch of the first image of x [B, ...]: 0, but for processes that share it."""
    if has_torch_function_unary(x):
        result: int = handle_torch_function(first_image, (x,), x)
        return result
    return 0


def leading_images(x: Tensor, count: int) -> Tensor:
    """The batch's first `count` images of x [B, ...], fewer where it has fewer; no gradient."""
    if has_torch_function_unary(x):
        result: Tensor = handle_torch_function(leading_images, (x,), x, count)
        return result
    return x[:count].detach()
