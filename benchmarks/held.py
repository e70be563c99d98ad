"""Whether holding potentials at ±2³⁰ changes a spike: beside potentials of 64 bits, not held.

    python -m benchmarks.held --data DIR --dataset cifar10 --architecture vgg9 \\
        --methods half-shift,robust-norm --weights FILE --test-images 6 --timesteps 256 --out DIR

writes held.csv: per method and layer the spikes of either, neurons times steps in which they
differ, and potentials at the limit after the last step.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.agreement import conversions, data_of, given_or_trained, parser_of, write_rows
from network.fixed import fixed_point
from network.fixed.plan import Fire
from network.fixed.run import _Run
from network.unroll import SpikingNetwork

CHUNK = 4


def main() -> None:
    options = parser_of("Potentials held at the limit, beside 64 bits.").parse_args()
    torch.set_num_threads(options.threads)
    dataset, train, test = data_of(options)
    network = given_or_trained(options, train, dataset.geometry)
    images, _ = test.batch(torch.arange(len(test)))
    rows = []
    for method, spiking in conversions(options, network, train):
        for row in compare(spiking, images, options.timesteps):
            rows.append({"method": method, **row})
            print(rows[-1], flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    write_rows(options.out / "held.csv", rows)


class _Spikes:
    """Keeps the spikes of the last chunk."""

    def __init__(self) -> None:
        self.last: dict[str, Tensor] = {}

    def inputs(self, first: int, inputs: Tensor) -> None:
        del first, inputs

    def count(self, name: str, first: int, spikes: Tensor, places: Tensor | None) -> None:
        del first, places
        self.last[name] = spikes


@torch.no_grad()
def compare(network: SpikingNetwork, images: Tensor, timesteps: int) -> list[dict[str, Any]]:
    """One row per layer, for images [B, C, H, W]; network: folded, its input constant."""
    fixed = fixed_point(network, tuple(images.shape[1:]), 24, events=False)
    tap, other = _Spikes(), _Spikes()
    run = _Run(fixed, images, 0, timesteps, CHUNK, None, (tap,))
    wide = _Run(fixed, images, 0, timesteps, CHUNK, None, (other,))
    _widen(wide)
    rows: dict[str, Counter[str]] = {}
    for first in range(0, timesteps, CHUNK):
        steps = min(CHUNK, timesteps - first)
        run.chunk(first, steps)
        wide.chunk(first, steps)
        for name, spikes in tap.last.items():
            counts = rows.setdefault(name, Counter())
            counts["spikes"] += int(spikes.sum())
            counts["of_64_bits"] += int(other.last[name].sum())
            counts["differ"] += int((spikes != other.last[name]).sum())
    at_limit = run.held()
    return [
        {"layer": name, "timesteps": timesteps, "images": len(images)}
        | {key: counts[key] for key in ("spikes", "of_64_bits", "differ")}
        | {"held": at_limit.get(name, 0)}
        for name, counts in rows.items()
    ]


def _widen(run: _Run) -> None:
    """Potentials in 64 bits, without a limit."""
    instructions = tuple(
        replace(i, theta=i.theta.long()) if isinstance(i, Fire) else i
        for i in run.plan.instructions
    )
    run.plan = replace(run.plan, instructions=instructions)
    run.membranes = {n: replace(m, v=m.v.long(), limit=0) for n, m in run.membranes.items()}


if __name__ == "__main__":
    main()
