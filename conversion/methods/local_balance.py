"""`local-balance`: thresholds learned per channel from clipped forward passes (Bu 2025, LTB)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from conversion.method import method
from conversion.methods.half_shift import halves
from conversion.source import Balance, SilentLayer, Source, bound_of
from network.graph import Kind, kind_of
from network.observation import delayed
from network.options import POSITIVE, Option, Range

BATCH_SIZE = 100


@method(
    "local-balance",
    summary="thresholds per channel by descent on what they clip, start at half of them",
    source="Bu 2025 (local threshold balancing), eq. 9",
    calibration_images=1000,
    iterations=Option(200, "batches of 100 images, one update of the thresholds each", POSITIVE),
    learning_rate=Option(0.5, "η, above 0 and at most 0.5", Range(above=0.0, most=0.5)),
    delay=Option(False, "leave out the first steps, in which first spikes are on their way"),
)
def local_balance(source: Source, *, iterations: int, learning_rate: float, delay: bool) -> Balance:
    """θ += 2η · mean((z − θ)·1[z > θ]) per channel, from θ = 0, one batch per iteration; ReLU is
    min(max(z, 0), θ) meanwhile. v₀ = θ/2.

    The paper sums; the mean (over images and space, in batches of 100) lets one η suit every layer.
    A threshold stops rising where the share of currents above it comes near 1/iterations.
    delay: leave out of the answer the t₀ = Σ_l (θ_l − v_l(0)) / max_i E[ReLU(z_l)]_i first steps,
        in which the first spikes are still on their way. They count as timesteps. (The paper
        leaves out fewer where less than four steps would remain: here T starts behind them.)
    """
    walk = _Clipped(source.body, learning_rate)
    batches = [images for images, _ in source.keyed_batches(BATCH_SIZE)]
    for iteration in range(iterations):
        walk.run(batches[iteration % len(batches)])
    theta, notes = source.settle(walk.theta)
    start = halves(theta)
    observation = None
    if delay:
        activity = walk.activity(batches)
        for name in source.names:
            if not activity[name] > 0:
                raise SilentLayer(
                    f"layer {source.paths[name]} is never active on {source.image_count} "
                    "calibration images: give more or other images"
                )
        steps = sum(
            float((theta[name] - start[name]).mean()) / activity[name] for name in source.names
        )
        observation = delayed(math.ceil(steps))
    return Balance(theta, start=start, observation=observation, notes=notes)


class _Clipped(fx.Interpreter):
    """Forward passes in which every activation is clipped at a threshold that follows it.

    theta: [C] by layer. seen: sum of ReLU(z) by channel [C] and how many values, by layer.
    """

    def __init__(self, body: fx.GraphModule, rate: float) -> None:
        super().__init__(body)
        self.body, self.rate = body, rate
        self.theta: dict[str, Tensor] = {}
        self.seen: dict[str, tuple[Tensor, int]] = {}

    def activity(self, batches: Sequence[Tensor]) -> dict[str, float]:
        """The largest channel mean of ReLU(z) by layer, over all images; thresholds stay."""
        self.rate, self.seen = 0.0, {}
        for images in batches:
            self.run(images)
        return {name: float((total / count).max()) for name, (total, count) in self.seen.items()}

    @torch.no_grad()
    def run_node(self, n: fx.Node) -> Any:
        if kind_of(self.body, n) is not Kind.ACTIVATION:
            return super().run_node(n)
        z = self.env[n.all_input_nodes[0]]
        rows = z.transpose(0, 1).flatten(1)
        theta = self.theta.get(n.name, torch.zeros_like(rows[:, 0]))
        excess = (rows - theta.unsqueeze(1)).clamp(min=0.0)
        theta = theta + 2 * self.rate * excess.mean(1)
        bound = bound_of(self.body.get_submodule(str(n.target)))
        if bound is not None:  # a ReLU6 sends no more than 6, whatever the threshold
            theta = theta.clamp(max=bound)
        self.theta[n.name] = theta
        active = rows.clamp(min=0.0).double().sum(1)
        total, count = self.seen.get(n.name, (torch.zeros_like(active), 0))
        self.seen[n.name] = total + active, count + rows.shape[1]
        return z.clamp(min=0.0).minimum(theta.view(-1, *([1] * (z.ndim - 2))))
