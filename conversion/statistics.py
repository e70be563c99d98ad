"""Statistics of an ANN's activations over a whole calibration set, exact and in bounded memory.

Values arrive batch by batch; the batches never change a result. A percentile p needs only the
(100 − p) % largest values, and only they are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor, fx

from network.graph import Kind, kind_of


class Statistic(Protocol):
    """Takes activations [B, C, ...] of one layer; `result` is a scalar or one value per channel."""

    def add(self, values: Tensor) -> None: ...

    def result(self) -> Tensor: ...


class Maximum:
    """Largest value seen, of all channels together."""

    def __init__(self) -> None:
        self.largest: Tensor | None = None

    def add(self, values: Tensor) -> None:
        largest = values.amax()
        self.largest = largest if self.largest is None else torch.maximum(self.largest, largest)

    def result(self) -> Tensor:
        if self.largest is None:
            raise ValueError("the maximum of no values is not defined")
        return self.largest


class Percentile:
    """Exact percentile of values ≥ 0, linear between neighbours as in torch.quantile.

    percentile: in (0, 100].
    total: how many values [C, n] will come at most, n; the n·(1 − percentile/100) + 2 largest of
        each row are kept.
    nonzero: the percentile of the positive values alone (0 where there is none).
    """

    def __init__(
        self,
        percentile: float,
        total: int,
        *,
        per_channel: bool = False,
        nonzero: bool = False,
    ) -> None:
        self.share = percentile / 100.0
        self.keep = min(total, math.ceil((1.0 - self.share) * total) + 2)
        self.per_channel = per_channel
        self.nonzero = nonzero
        self.kept: Tensor | None = None
        self.count: Tensor | None = None

    def add(self, values: Tensor) -> None:
        rows = values.transpose(0, 1).flatten(1) if self.per_channel else values.reshape(1, -1)
        counted = rows > 0 if self.nonzero else torch.ones_like(rows, dtype=torch.bool)
        count = counted.sum(1)
        self.count = count if self.count is None else self.count + count
        if self.kept is not None:
            rows = torch.cat([self.kept, rows], dim=1)
        if rows.shape[1] > self.keep:
            rows = rows.topk(self.keep, dim=1, sorted=False).values
        self.kept = rows

    def result(self) -> Tensor:
        if self.kept is None or self.count is None:
            raise ValueError("the percentile of no values is not defined")
        ordered = self.kept.double().sort(dim=1, descending=True).values
        count = self.count.to(ordered.device)
        rank = self.share * (count - 1).clamp(min=0).double()  # from the smallest, 0-based
        below = rank.floor()
        from_top = (count - 1 - below.long()).clamp(min=0)
        low = ordered.gather(1, from_top.unsqueeze(1)).squeeze(1)
        high = ordered.gather(1, (from_top - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
        value = torch.lerp(low, high, rank - below)
        value = torch.where(count > 0, value, 0.0).float()
        return value if self.per_channel else value[0]


class _Watch(fx.Interpreter):
    """Runs a traced network and shows every activation to `visit`."""

    def __init__(self, body: fx.GraphModule) -> None:
        super().__init__(body)
        self.body = body
        self.found: dict[str, Tensor] = {}
        self.wanted = {n for n in body.graph.nodes if kind_of(body, n) is Kind.ACTIVATION}

    def run_node(self, n: fx.Node) -> object:
        value = super().run_node(n)
        if n in self.wanted:
            self.found[n.name] = value
        return value


@torch.no_grad()
def activations(body: fx.GraphModule, images: Tensor) -> dict[str, Tensor]:
    """Output of every activation of a traced ANN, by node name, for images [B, ...]."""
    watch = _Watch(body)
    watch.run(images)
    return watch.found


def gather(
    body: fx.GraphModule, batches: Iterable[Tensor], statistics: dict[str, Statistic]
) -> dict[str, Tensor]:
    """The result of each layer's statistic over all batches, one pass."""
    for images in batches:
        for name, values in activations(body, images).items():
            statistics[name].add(values)
    return {name: statistic.result() for name, statistic in statistics.items()}


def percentiles(
    body: fx.GraphModule,
    batches: Sequence[Tensor],
    percentile: float,
    *,
    definition: str = "all",
    per_channel: bool = False,
) -> dict[str, Tensor]:
    """The percentile of each activation over all batches: scalars, or [C] where per channel."""
    if definition not in ("all", "nonzero"):
        raise ValueError(f"definition must be 'all' or 'nonzero', got {definition!r}")
    images = sum(len(batch) for batch in batches)
    first = activations(body, batches[0][:1])
    statistics: dict[str, Statistic] = {}
    for name, values in first.items():
        per_image = values[0, 0].numel() if per_channel else values[0].numel()
        statistics[name] = Percentile(
            percentile, images * per_image, per_channel=per_channel, nonzero=definition == "nonzero"
        )
    return gather(body, batches, statistics)
