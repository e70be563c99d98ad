"""The parts of the page: each measures, and returns its text and the goals that it decides."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks import memory, page, workloads
from benchmarks.epoch import BATCHES, epoch_calls
from benchmarks.measure import Clock, Timing, interleave
from benchmarks.page import Goal
from benchmarks.workloads import Call, Workload

SECONDS_TO_HELP = 0.3
CURVE_STEPS = (10, 25, 50, 100, 200, 400)


@dataclass(frozen=True)
class Stopwatch:
    """How often and by which clock everything is timed."""

    rounds: int
    clock: Clock
    device: str = "cpu"

    def time(self, calls: Mapping[str, Call], what: str) -> dict[str, Timing]:
        def tell(line: str) -> None:
            print(f"{what}: {line}", file=sys.stderr)

        wait = torch.cuda.synchronize if self.device == "cuda" else lambda: None
        return interleave(calls, rounds=self.rounds, clock=self.clock, tell=tell, wait=wait)


@dataclass(frozen=True)
class Section:
    text: str
    goals: list[Goal]


def sweeps(work: Workload, batch: int, watch: Stopwatch) -> Section:
    """Forward pass of the ANN and sweeps in every arithmetic and library."""
    timings = watch.time(workloads.every_sweep(work, batch), f"sweeps of {work.architecture}")
    return of_sweeps(work.architecture, timings, work)


def of_sweeps(
    what: str,
    timings: Mapping[str, Timing],
    work: Workload,
    labels: Mapping[str, str] | None = None,
) -> Section:
    """Tables and goals of the ANN and of sweeps, all of work.batch images.

    labels: what the rows are called, where not by their own names.
    """
    ann = {name: t for name, t in timings.items() if name.startswith("ANN")}
    rest = {name: t for name, t in timings.items() if name not in ann}

    def table(found: Mapping[str, Timing], done: int, unit: str) -> str:
        rows = {labels[name] if labels else name: timing for name, timing in found.items()}
        return page.timing_table(rows, done, unit)

    text = "\n\n".join(
        [
            f"## {what}: forward pass of the ANN, {work.batch} images",
            table(ann, work.batch, "images/s"),
            f"## {what}: sweep, {work.batch} images, T = {work.timesteps}",
            table(rest, work.batch * work.timesteps, "image-steps/s"),
        ]
    )
    goals = page.sweep_goals(ann, rest, work.timesteps, matrix_units=has_matrix_units(work.device))
    return Section(text, [replace(goal, text=f"{what}: {goal.text}") for goal in goals])


def scaling(work: Workload, batch: int, watch: Stopwatch) -> Section:
    """Twice the steps, with the ACs of either beside it, and all cores against one by the clock on
    the wall."""
    name = "isospike, int16"
    longer = replace(work, timesteps=2 * work.timesteps)
    calls = {
        "T": workloads.sweep_calls(work, batch)[name],
        "2 T": workloads.sweep_calls(longer, batch)[name],
    }
    steps = watch.time(calls, "twice the steps")
    taken = _ratio(steps, "2 T", "T")
    more = workloads.accumulates(longer, 16) / workloads.accumulates(work, 16)
    goals = [Goal("cost of twice the steps (int16)", "≤", 2.1, taken)]
    text = (
        f"## Twice the steps, int16, {work.batch} images\n\n"
        f"T = {longer.timesteps} takes {taken:.2f} times as long as T = {work.timesteps} "
        f"and has {more:.2f} times the ACs."
    )
    cores = os.cpu_count() or 1
    if cores > 1 and work.device == "cpu":
        by_threads = {
            f"{count} threads": _with_threads(count, work, batch, name) for count in (1, 2)
        }
        seconds = replace(watch, clock="wall").time(by_threads, "threads")
        gain = _ratio(seconds, "1 threads", "2 threads")
        goals.append(Goal("2 threads against 1, wall clock (int16)", "≥", 1.7, gain))
    return Section(text, goals)


def _with_threads(count: int, work: Workload, batch: int, name: str) -> Call:
    with threads(count):
        call = workloads.sweep_calls(work, batch)[name]

    def run() -> object:
        with threads(count):
            return call()

    return run


def has_matrix_units(device: str) -> bool:
    """Whether the machine multiplies matrices of bfloat16 in units made for it."""
    flags = Path("/proc/cpuinfo")
    return device == "cuda" or (flags.exists() and "amx_bf16" in flags.read_text())


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def training(work: Workload, watch: Stopwatch) -> Section:
    """Loss and gradient here and in the peers; rules of ours."""
    timings = watch.time(workloads.training_calls(work), "training")
    rules = watch.time(workloads.rule_calls(work), "rules")
    image_steps = work.batch * work.timesteps
    units = has_matrix_units(work.device)
    goals = page.training_goals(timings, work.timesteps, matrix_units=units)
    for rule in ("spike-bp", "rate-bp"):
        gain = _ratio(rules, "isospike, bptt", f"isospike, {rule}")
        goals.append(Goal(f"{rule} step, × bptt", "≥", 2.0, gain))
    text = "\n\n".join(
        [
            f"## Loss and gradient, {work.batch} images, T = {work.timesteps}",
            page.timing_table(timings, image_steps, "image-steps/s"),
            "The same without batch norm, by rules of ours:",
            page.timing_table(rules, image_steps, "image-steps/s"),
        ]
    )
    return Section(text, goals)


def currents(work: Workload, watch: Stopwatch) -> Section:
    """Layers that rules without a graph sum over spikes on a CPU, beside the dense ones."""
    timings = watch.time(workloads.current_calls(work.batch), "currents")
    text = "\n\n".join(
        [
            f"## float32 currents of a convolution 3×3, {work.batch} images and steps",
            page.timing_table(timings, work.batch, "image-steps/s"),
        ]
    )
    return Section(text, [])


def epoch(work: Workload, watch: Stopwatch) -> Section:
    """An epoch of the ANN beside its layers with weights alone."""
    timings = watch.time(epoch_calls(work), "ANN epoch")
    share = _ratio(timings, "its layers with weights alone", "epoch of the ANN")
    text = "\n\n".join(
        [
            f"## An epoch of the ANN: {BATCHES} batches of {work.batch} images",
            page.timing_table(timings, BATCHES * work.batch, "images/s"),
        ]
    )
    return Section(text, [Goal("ANN epoch, of the rate of its layers alone", "≥", 0.7, share)])


def memory_use(sweep: Workload, train: Workload) -> Section:
    """MB by which a process grows, at T and 2 T."""
    lines = ["| | MB at T | MB at 2 T |", "|---|---:|---:|"]
    goals = []
    peer = "SpikingJelly, multi-step"
    names = [*memory.SWEEPS, *memory.RULES]
    if peer in workloads.training_calls(replace(train, batch=1, timesteps=1)):
        names += ["isospike bptt, float32", peer]
    grown: dict[str, float] = {}
    for name in names:
        work = sweep if name in memory.SWEEPS else train
        once = memory.grown_mb(name, work)
        twice = memory.grown_mb(name, replace(work, timesteps=2 * work.timesteps))
        lines.append(f"| {name}, T = {work.timesteps} | {once:.0f} | {twice:.0f} |")
        grown[name] = once
        if name in ("int16", "spike-bp", "rate-bp"):
            goals.append(Goal(f"memory of {name} at 2 T, × T", "≤", 1.1, twice / once))
        print(f"memory: {name}", file=sys.stderr)
    if peer in grown:
        share = grown["isospike bptt, float32"] / grown[peer]
        goals.append(Goal(f"memory of bptt, × {peer}", "≤", 0.5, share))
    runs = "" if sweep.device == "cuda" else f", median of {memory.PROCESSES} processes"
    return Section(f"## Memory of one call{runs}\n\n" + "\n".join(lines), goals)


def memory_curve(train: Workload) -> Section:
    """MB by which a process grows in one training step of each rule, from few steps to many."""
    grown: dict[str, list[float]] = {}
    for name in memory.RULES:
        print(f"memory curve: {name}", file=sys.stderr)
        grown[name] = [
            memory.grown_mb(name, replace(train, timesteps=steps)) for steps in CURVE_STEPS
        ]
    rows = [
        f"| {name} | " + " | ".join(f"{size:.0f}" for size in sizes) + " |"
        for name, sizes in grown.items()
    ]
    steps = [f"T = {steps}" for steps in CURVE_STEPS]
    lines = ["| MB | " + " | ".join(steps) + " |", "|---|" + "---:|" * len(steps), *rows]
    goals = [
        Goal(
            f"memory of {name} on {train.architecture} at T = {CURVE_STEPS[-1]}, "
            f"× T = {CURVE_STEPS[0]}",
            "≤",
            1.1,
            grown[name][-1] / grown[name][0],
        )
        for name in ("spike-bp", "rate-bp")
    ]
    runs = "" if train.device == "cuda" else f", median of {memory.PROCESSES} processes"
    title = f"## Memory of a training step of {train.architecture}, {train.batch} images{runs}"
    return Section(f"{title}\n\n" + "\n".join(lines), goals)


def start(watch: Stopwatch) -> Section:
    """Processor time until a command without torch has answered."""
    command = [sys.executable, "-m", "compare", "--help"]
    timing = Timing(memory.start_seconds(command, watch.rounds))
    goals = [
        Goal("isospike --help, s of processor time", "≤", SECONDS_TO_HELP, timing.median),
        Goal(
            "torch loaded by isospike --help (1 = yes)",
            "≤",
            0,
            float(memory.loads_torch(command[1:])),
        ),
    ]
    return Section("", goals)


def _ratio(timings: Mapping[str, Timing], over: str, under: str) -> float:
    return timings[over].median / timings[under].median
