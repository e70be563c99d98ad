"""python -m benchmarks.where: processor time of each part of a fixed-point sweep, per image and
step."""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.workloads import Workload, converted
from network.activity import ActivityCounter, count_activity
from network.fixed import fixed_point, run, unroll_fixed
from network.fixed.pooling import SumPool


class Shares:
    """Seconds of some functions while it watches, by a name made of their arguments."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def watching(self, owner: Any, method: str, name: Callable[..., str]) -> Iterator[None]:
        original = getattr(owner, method)

        def timed(*arguments: Any, **options: Any) -> Any:
            start = time.process_time()
            result = original(*arguments, **options)
            self.seconds[name(*arguments)] += time.process_time() - start
            return result

        with patch.object(owner, method, timed):
            yield


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.where", description=__doc__)
    parser.add_argument("--architecture", default="vgg9")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--timesteps", type=int, default=16)
    parser.add_argument("--bits", type=int, choices=(8, 16, 24), default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    work = Workload(options.architecture, options.width, 32, options.batch, options.timesteps)
    images, spiking = work.images(), converted(work)
    whole = fixed_point(spiking, tuple(images.shape[1:]), options.bits)
    unroll_fixed(whole, images, 1)  # packs the weights
    counter = count_activity(spiking, tuple(images.shape[1:]), work.timesteps).of_whole_numbers()
    shares = Shares()
    with ExitStack() as stack:
        for owner, method, named in (
            (run, "fire_by_kernel", lambda kernel, layer, *rest: layer.name),
            (SumPool, "__call__", lambda *rest: "pooling"),
            (ActivityCounter, "count", lambda *rest: "counting"),
            (run._Run, "__init__", lambda *rest: "first current and states"),
            (run._Run, "_output", lambda *rest: "output"),
        ):
            stack.enter_context(shares.watching(owner, method, named))
        start = time.process_time()
        unroll_fixed(whole, images, work.timesteps, taps=[counter])
        total = time.process_time() - start
    shares.seconds["the rest"] = total - sum(shares.seconds.values())
    for name, seconds in shares.seconds.items():
        per_step = 1e6 * seconds / (work.batch * work.timesteps)
        spiking_share = share_of(counter, name, work.timesteps)
        print(f"{name:28} {per_step:8.1f} us {seconds / total:6.1%} {spiking_share}")


def share_of(counter: ActivityCounter, name: str, timesteps: int) -> str:
    """How many of a layer's neurons spike in a step; empty for what is no layer."""
    if name not in counter.spikes:
        return ""
    neurons = next(layer.neurons for layer in counter.wires.layers if layer.name == name)
    spikes = float(counter.spikes[name].sum()) / (counter.images * timesteps)
    return f"{spikes / neurons:.1%} spike"


if __name__ == "__main__":
    main()
