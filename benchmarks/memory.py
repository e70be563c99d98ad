"""Peak memory of one call in a fresh process, and the time that a command takes to start.

    python -m benchmarks.memory int16 --batch 16 --timesteps 32

prints the MB by which the process grew in the call (Linux: highest resident size).
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import torch

from benchmarks import workloads
from benchmarks.workloads import Call, Workload

RULES = ("bptt", "spike-bp", "rate-bp")
SWEEPS = ("int16",)
PROCESSES = 3
# glibc takes every larger block from the system and gives it back at once: the highest resident
# size is then what was held, not what the allocator had kept from before or keeps apart.
HELD_ONLY = {
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "MALLOC_ARENA_MAX": "1",
}


def call_of(name: str, work: Workload) -> Call:
    """A sweep in an arithmetic, loss and gradient of a rule, or of a peer ('peer:NAME')."""
    if name in SWEEPS:
        return workloads.sweep_calls(work, work.batch)[f"isospike, {name}"]
    if name in RULES:
        return workloads.rule_calls(work)[f"isospike, {name}"]
    return workloads.training_calls(work)[name]


def grown_mb(name: str, work: Workload) -> float:
    """As `python -m benchmarks.memory`, with as many threads as here: the median of some processes,
    in which nothing is kept that is not held."""
    if work.device == "cuda":
        return _grown_on_device(call_of(name, work))
    values = [str(value) for value in astuple(work)[:-1]]
    options = ("--architecture", "--width", "--size", "--batch", "--timesteps")
    pairs = [text for pair in zip(options, values, strict=True) for text in pair]
    threads = ["--threads", str(torch.get_num_threads())]
    command = [sys.executable, "-m", "benchmarks.memory", name, *pairs, *threads]
    sizes = []
    for _ in range(PROCESSES):
        environment = {**os.environ, **HELD_ONLY}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        sizes.append(float(done.stdout.split()[-1]))
    return statistics.median(sizes)


def _grown_on_device(call: Call) -> float:
    """MB of the device beyond what the network and its images take; the call runs once before."""
    call()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def start_seconds(command: list[str], rounds: int) -> tuple[float, ...]:
    """Processor seconds of a command, user and system, in each of some rounds."""
    seconds = []
    for _ in range(rounds):
        before = _children()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        seconds.append(_children() - before)
    return tuple(seconds)


def loads_torch(command: list[str]) -> bool:
    """Whether `python -X importtime COMMAND` imports torch."""
    full = [sys.executable, "-X", "importtime", *command]
    done = subprocess.run(full, capture_output=True, text=True, check=True)
    return any(line.split("|")[-1].strip() == "torch" for line in done.stderr.splitlines())


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _memory_mb(what: str) -> float:
    """VmRSS, the resident size, or VmHWM, the highest since the last reset. (ru_maxrss would begin
    with that of the process that started this one.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    (size,) = (line.split()[1] for line in lines if line.startswith(f"{what}:"))
    return int(size) * 1024 / 1e6


def measured(call: Callable[[], object]) -> float:
    """MB by which the highest resident size passed the size before the call."""
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew: preparing took its share
    before = _memory_mb("VmRSS")
    call()
    return _memory_mb("VmHWM") - before


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--architecture", default="vgg9")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--timesteps", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    work = Workload(o.architecture, o.width, o.size, o.batch, o.timesteps)
    print(f"{measured(call_of(o.name, work)):.1f}")


if __name__ == "__main__":
    main()
