"""python -m benchmarks: speed beside the ANN and other libraries, written under docs/benchmarks."""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import torch

from benchmarks import page, sections, workloads
from benchmarks.batches import best_batches
from benchmarks.sections import Section, Stopwatch
from benchmarks.workloads import Workload, converted
from compare.machine import choose_device, commit, machine, versions
from network.fixed import fixed_point
from network.operators import find_units

PEERS = ("spikingjelly", "snntorch", "sinabs", "norse")


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    device = str(choose_device(options.device))
    watch = Stopwatch(options.rounds, options.clock, device)
    sweep = Workload(
        options.architecture, options.width, options.size, options.batch, options.timesteps, device
    )
    train = replace(sweep, batch=options.train_batch, timesteps=options.train_timesteps)
    batch = options.fixed_batch or options.batch
    second = replace(sweep, architecture=options.second)
    parts: dict[str, Callable[[], Section]] = {
        "sweeps": lambda: sections.sweeps(sweep, batch, watch),
        "second": lambda: sections.sweeps(second, batch, watch),
        "batches": lambda: best_batches(sweep, watch),
        "second-batches": lambda: best_batches(second, watch),
        "scaling": lambda: sections.scaling(sweep, batch, watch),
        "training": lambda: sections.training(train, watch),
        "currents": lambda: sections.currents(replace(train, device="cpu"), watch),
        "epoch": lambda: sections.epoch(replace(train, batch=options.epoch_batch), watch),
        "memory": lambda: sections.memory_use(sweep, train),
        "memory-curve": lambda: sections.memory_curve(replace(train, architecture="lenet")),
        "start": lambda: sections.start(watch),
    }
    chosen = options.parts.split(",") if options.parts else list(parts)
    found = [measure() for name, measure in parts.items() if name in chosen]
    _write(found, options)


def _write(found: list[Section], options: argparse.Namespace) -> None:
    goals = [goal for section in found for goal in section.goals]
    text = "\n\n".join(
        [
            f"# Benchmarks: {_kind(options.device)}, {date.today():%-d %B %Y}",
            _conditions(options),
            "## Goals",
            page.goal_table(goals),
            *(section.text for section in found if section.text),
        ]
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text + "\n")
    print(page.goal_table(goals))
    print(options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--architecture", default="vgg9")
    parser.add_argument("--second", default="resnet18", help="another one, swept without peers")
    parser.add_argument("--parts", help="some of them, with commas; default: all")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=32, help="height and width of the images")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--fixed-batch", type=int, help="images at once in our sweeps")
    parser.add_argument("--timesteps", type=int, default=64)
    parser.add_argument("--train-batch", type=int, default=32)
    parser.add_argument("--epoch-batch", type=int, default=100)
    parser.add_argument("--train-timesteps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    parser.add_argument("--out", type=Path, help="default: docs/benchmarks/KIND.md")
    options = parser.parse_args()
    options.out = options.out or Path(f"docs/benchmarks/{_kind(options.device)}.md")
    return options


def _kind(device: str) -> str:
    """The kind of processor or accelerator as a file's name."""
    if choose_device(device).type == "cuda":
        return re.sub("[^a-z0-9]+", "-", torch.cuda.get_device_name().lower())
    return torch.backends.cpu.get_cpu_capability().lower()


def _conditions(options: argparse.Namespace) -> str:
    here = machine(choose_device(options.device))
    found = {**versions(), **{name: version for name in PEERS if (version := _version(name))}}
    lines = [
        f"Written by `python -m benchmarks {' '.join(sys.argv[1:])}`.",
        f"Width {options.width:g}, images 3×{options.size}×{options.size}, {options.clock} time, "
        f"medians of {options.rounds} interleaved rounds.",
        "Machine: " + ", ".join(f"{key} {value}" for key, value in here.items()) + ".",
        f"Probe: {_probe(str(choose_device(options.device)))}.",
        _bfloat16(str(choose_device(options.device))),
        "Versions: " + ", ".join(f"{key} {value}" for key, value in found.items()) + ".",
        f"Commit: {commit()}.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _probe(device: str) -> str:
    """What fixed point runs in here, as a sweep's log says it."""
    work = Workload("lenet", 1.0, 32, 2, 2, device)
    images, spiking = work.images(), converted(work)
    notes = {bits: fixed_point(spiking, tuple(images.shape[1:]), bits).note for bits in (24, 16, 8)}
    wide = find_units(255, device).note
    return "; ".join(f"int{bits}: {note}" for bits, note in notes.items()) + f"; up to 255: {wide}"


def _bfloat16(device: str) -> str:
    ratio = workloads.bfloat16_ratio(device)
    times = f"A training step in bfloat16 takes {ratio:.2g} times as long as in float32"
    left_out = "" if "bfloat16" in workloads.precisions(device) else ": left out"
    return f"{times}{left_out}."


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
