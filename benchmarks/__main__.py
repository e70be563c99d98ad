"""python -m benchmarks: speed beside the ANN and other libraries, written to docs/benchmarks.md."""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks import page, workloads
from benchmarks.measure import Timing, interleave
from benchmarks.workloads import Call, Workload
from compare.machine import commit, machine, versions
from network.operators import find_units

PEERS = ("spikingjelly", "snntorch", "sinabs", "norse")
NOTES = Path(__file__).with_name("notes.md")


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    sweep = Workload(
        options.architecture, options.width, options.size, options.batch, options.timesteps
    )
    train = replace(sweep, batch=options.train_batch, timesteps=options.train_timesteps)
    longer = replace(sweep, timesteps=2 * sweep.timesteps)

    ann = _time(workloads.ann_calls(sweep), options, "ANN")
    batch = options.fixed_batch or options.batch
    calls = workloads.sweep_calls(sweep, batch)
    sweeps = _time({**calls, **workloads.peer_sweep_calls(sweep)}, options, "sweeps")
    double = _time(
        {"isospike, int16": workloads.sweep_calls(longer, batch)["isospike, int16"]},
        options,
        "twice the steps",
    )
    training = _time(workloads.training_calls(train), options, "training")

    image_steps = sweep.batch * sweep.timesteps
    linear = double["isospike, int16"].median / sweeps["isospike, int16"].median
    goals = page.sweep_goals(ann, sweeps, sweep.timesteps)
    goals.append(page.Goal("cost of twice the steps (int16)", "≤", 2.1, linear))
    goals += page.training_goals(training, train.timesteps)
    text = "\n\n".join(
        [
            "# Benchmarks",
            _conditions(options),
            "## Goals",
            page.goal_table(goals),
            f"## Forward pass of the ANN, {sweep.batch} images",
            page.timing_table(ann, sweep.batch, "images/s"),
            f"## Sweep, {sweep.batch} images, T = {sweep.timesteps}",
            page.timing_table(sweeps, image_steps, "image-steps/s"),
            f"## Loss and gradient, {train.batch} images, T = {train.timesteps}",
            page.timing_table(training, train.batch * train.timesteps, "image-steps/s"),
            NOTES.read_text().strip(),
        ]
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text + "\n")
    print(page.goal_table(goals))
    print(options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--architecture", default="vgg9")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=32, help="height and width of the images")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--fixed-batch", type=int, help="images at once in our sweeps")
    parser.add_argument("--timesteps", type=int, default=64)
    parser.add_argument("--train-batch", type=int, default=32)
    parser.add_argument("--train-timesteps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks.md"))
    return parser.parse_args()


def _time(calls: dict[str, Call], options: argparse.Namespace, what: str) -> dict[str, Timing]:
    def tell(line: str) -> None:
        print(f"{what}: {line}", file=sys.stderr)

    return interleave(calls, rounds=options.rounds, clock=options.clock, tell=tell)


def _conditions(options: argparse.Namespace) -> str:
    here = machine(torch.device("cpu"))
    found = {**versions(), **{name: version for name in PEERS if (version := _version(name))}}
    lines = [
        f"Written by `python -m benchmarks {' '.join(sys.argv[1:])}`.",
        f"{options.architecture}, width {options.width:g}, images "
        f"3×{options.size}×{options.size}, {options.clock} time, medians of {options.rounds} "
        "interleaved rounds.",
        "Machine: " + ", ".join(f"{key} {value}" for key, value in here.items()) + ".",
        "Instructions: "
        + torch.backends.cpu.get_cpu_capability()
        + "; "
        + find_units(255).note
        + ".",
        "Versions: " + ", ".join(f"{key} {value}" for key, value in found.items()) + ".",
        f"Commit: {commit()}.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
