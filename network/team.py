"""One training in several processes, each with its share of every batch.

The batch is the whole one: its order, augmentation and keys are drawn in every process alike, and
each takes its rows. What a network computes over the images of a batch (means and variances of
batch norm, a rule's own means) and what it draws for them (dropout) then has to be that of the
whole batch too. One `TorchFunctionMode` sees to it, wherever a layer, a rule or a network of the
user's calls it: batch norms of ANNs, input currents and tdBN all go through `F.batch_norm`
(nn.SyncBatchNorm runs on CUDA only). Other layers that draw numbers draw in each process alone.

Gradients: DistributedDataParallel averages them; the loss of a process that has n of N images of a
batch weighs n/N, so that the average is the gradient of the mean over the whole batch.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode

from network.over_batch import (
    first_image,
    leading_images,
    mean_over_batch,
    numbers_over_batch,
    variance_over_batch,
)

DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)
ALPHA_DROPOUTS = (F.alpha_dropout, F.feature_alpha_dropout)


class CannotShare(ValueError):
    """A training that several processes cannot share; raised in all of them."""


@dataclass(frozen=True)
class Team:
    """The processes of the default group of torch.distributed."""

    rank: int
    size: int

    def share(self, images: int) -> slice:
        """The rows of a batch that are this process's; CannotShare where one would get none."""
        if images < self.size:
            raise CannotShare(
                f"{self.size} processes cannot share a batch of {images} images: "
                "choose another batch_size, or fewer processes"
            )
        first, rest = divmod(images, self.size)
        start = self.rank * first + min(self.rank, rest)
        return slice(start, start + first + (self.rank < rest))

    def wrapped(self, network: nn.Module, objective: Callable[..., Any]) -> nn.Module:
        """The objective as a module whose gradients are averaged over the processes; all of them
        start with the weights of the first. A network that can be traced runs the same graph at
        every step, which DistributedDataParallel has to know if it leaves parameters unused."""
        # A kernel of one channel has strides that say the same and read otherwise.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        return DistributedDataParallel(_Step(network, objective), static_graph=True)

    def total(self, values: Iterable[float]) -> list[float]:
        """Sums over the processes."""
        sums = torch.tensor(list(values), dtype=torch.float64)
        dist.all_reduce(sums)
        return [float(value) for value in sums]

    def from_first(self, value: Any) -> Any:
        """The first process's value, in all of them."""
        box = [value]
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def gathered(self, value: Any) -> list[Any]:
        """Every process's value, by rank."""
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values


class _Step(nn.Module):
    """DistributedDataParallel watches a module's forward pass: here it is the whole objective,
    which may run the network in ways of its own (a replay on mean rates, say)."""

    def __init__(self, network: nn.Module, objective: Callable[..., Any]) -> None:
        super().__init__()
        self.network = network
        self.objective = objective

    def forward(self, images: Tensor, labels: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        loss, scores = self.objective(images, labels, keys)
        return loss, scores


class WholeBatch(TorchFunctionMode):
    """Inside, what is taken over a batch is taken over `images` images; `rows` of them are here."""

    def __init__(self, images: int, rows: slice) -> None:
        super().__init__()
        self.images, self.rows = images, rows

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        own: dict[Any, Callable[..., Any]] = {
            F.batch_norm: self._batch_norm,
            mean_over_batch: self._mean,
            variance_over_batch: self._variance,
            numbers_over_batch: self._numbers,
            first_image: lambda x: self.rows.start,
            leading_images: self._leading,
        }
        if func in own:
            return own[func](*args, **kwargs)
        if func in DROPOUTS:
            return self._dropout(func, *args, **kwargs)
        if func in ALPHA_DROPOUTS:
            raise CannotShare("alpha dropout cannot be shared by several processes: train with one")
        return func(*args, **kwargs)

    def _dropout(
        self,
        function: Callable[..., Tensor],
        x: Tensor,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
    ) -> Tensor:
        """This process's rows of the mask of the whole batch, laid out as one process would."""
        del inplace
        if not training:
            return x
        here = self.rows.stop - self.rows.start
        if x.shape[0] != here:
            raise CannotShare(f"dropout needs the images as first axis: {here}, got {x.shape[0]}")
        whole = torch.empty_strided(
            (self.images, *x.shape[1:]), x.stride(), dtype=x.dtype, device=x.device
        )
        return x * function(whole.fill_(1.0), p, True)[self.rows]

    def _leading(self, x: Tensor, count: int) -> Tensor:
        """The whole batch's first images, gathered as a sum of what each process has of them."""
        leading = x.new_zeros(min(count, self.images), *x.shape[1:])
        own = slice(*(min(place, len(leading)) for place in (self.rows.start, self.rows.stop)))
        leading[own] = x[: own.stop - own.start].detach()
        dist.all_reduce(leading)
        return leading

    def _count(self, x: Tensor, kept: Tensor) -> float:
        """Numbers behind each value of a sum over all processes' x: as many for every image."""
        return x.numel() / kept.numel() * self.images / (self.rows.stop - self.rows.start)

    def _numbers(self, x: Tensor, axes: tuple[int, ...]) -> int:
        here = math.prod(x.shape[axis] for axis in axes)
        return here * self.images // (self.rows.stop - self.rows.start)

    def _mean(self, x: Tensor, axes: tuple[int, ...], keepdim: bool = False) -> Tensor:
        total = x.sum(axes, keepdim=keepdim)
        result: Tensor = _Sum.apply(total)
        return result / self._count(x, total)

    def _variance(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        mean = self._mean(x, axes, keepdim=True)
        return self._mean((x - mean).square(), axes)

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """F.batch_norm with the whole batch's statistics; the running variance divides by n − 1."""
        if not training:
            return F.batch_norm(
                input, running_mean, running_var, weight, bias, False, momentum, eps
            )
        x = input.float()
        axes = (0, *range(2, x.ndim))
        with torch.no_grad():
            mean, variance = self._mean(x, axes), self._variance(x, axes)
            count = self._count(x, mean)
            if running_mean is not None and running_var is not None:
                running_mean.lerp_(mean, momentum)
                running_var.lerp_(variance * (count / (count - 1)), momentum)
        normed = _Normalise.apply(x, mean, (variance + eps).rsqrt(), count)
        if weight is not None:
            normed = normed * _spread(weight, x)
        if bias is not None:
            normed = normed + _spread(bias, x)
        return normed.to(input.dtype)


def _spread(value: Tensor, x: Tensor) -> Tensor:
    """[C] shaped to broadcast over x [B, C, ...]."""
    return value.view(1, -1, *([1] * (x.ndim - 2)))


class _Sum(torch.autograd.Function):
    """The sum over the processes; every process's loss depends on it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        del ctx
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        del ctx
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


class _Normalise(torch.autograd.Function):
    """x̂ = (x − mean)·inverse; ∂L/∂x = inverse·(g − mean(g) − x̂·mean(g·x̂)), means over all n."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, inverse: Tensor, count: float) -> Tensor:
        normed = (x - _spread(mean, x)) * _spread(inverse, x)
        ctx.save_for_backward(normed, inverse)
        ctx.count = count
        return normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        normed, inverse = ctx.saved_tensors
        axes = (0, *range(2, normed.ndim))
        sums = torch.stack((gradient.sum(axes), (gradient * normed).sum(axes)))
        dist.all_reduce(sums)
        plain, along = sums / ctx.count
        centred = gradient - _spread(plain, normed) - normed * _spread(along, normed)
        return centred * _spread(inverse, normed), None, None, None
