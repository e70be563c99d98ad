"""python -m benchmarks.profiled: where one thread's time goes in a float32 sweep, in a training
step and in an epoch of the ANN, by torch's profiler."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.epoch import epoch_calls
from benchmarks.workloads import Call, Workload, precisions, sweep_calls, training_calls
from network.fused import on_cpu

NEURONS = "neurons"
GROUPS = {
    "convolutions": ("aten::mkldnn_convolution", "aten::convolution_backward"),
    "linear layers": ("aten::mm", "aten::addmm"),
    NEURONS: (NEURONS, "AdvanceWithGradient", "AdvanceWithGradientBackward"),
    "batch norm": ("aten::native_batch_norm", "aten::native_batch_norm_backward"),
    "pooling": ("aten::avg_pool2d", "aten::avg_pool2d_backward"),
    "ReLUs": ("aten::clamp_min", "aten::threshold_backward"),
    "copies": ("aten::copy_", "aten::cat", "aten::index"),
    "optimiser": (
        *(f"Optimizer.{what}#AdamW.{what}" for what in ("step", "zero_grad")),
        *(f"aten::{what}" for what in ("sqrt", "lerp_", "addcdiv_", "add_", "mul_")),
    ),
}


def shares(call: Call) -> tuple[dict[str, float], float]:
    """Share of each group in one call, after one that is not counted; and its milliseconds."""
    call()
    with ExitStack() as stack:
        for method in ("forward", "backward"):
            recorded = _recorded(getattr(on_cpu.Kernel, method))
            stack.enter_context(patch.object(on_cpu.Kernel, method, recorded))
        found = stack.enter_context(profile(activities=[ProfilerActivity.CPU]))
        call()
    group_of = {operator: group for group, names in GROUPS.items() for operator in names}
    spent: dict[str, float] = defaultdict(float)
    for event in found.key_averages():
        spent[group_of.get(event.key, "the rest")] += event.self_cpu_time_total
    total = sum(spent.values())
    return {name: spent[name] / total for name in (*GROUPS, "the rest")}, total / 1000


def _recorded(original: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: Any, **options: Any) -> Any:
        with record_function(NEURONS):
            return original(*arguments, **options)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiled", description=__doc__)
    parser.add_argument("--architecture", default="vgg9")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--timesteps", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    work = Workload(options.architecture, options.width, 32, options.batch, options.timesteps)
    training = training_calls(work)
    calls = {
        "sweep, float32": sweep_calls(work, work.batch)["isospike, float32"],
        **{f"bptt, {kind}": training[f"isospike bptt, {kind}"] for kind in precisions(work.device)},
        "ANN, epoch": epoch_calls(work)["epoch of the ANN"],
    }
    found = {name: shares(call) for name, call in calls.items()}
    print(f"| | {' | '.join(calls)} |\n|---|{'---:|' * len(calls)}")
    for group in (*GROUPS, "the rest"):
        print(f"| {group} | {' | '.join(f'{found[n][0][group]:.1%}' for n in calls)} |")
    print(f"| ms | {' | '.join(f'{found[n][1]:.0f}' for n in calls)} |")


if __name__ == "__main__":
    main()
