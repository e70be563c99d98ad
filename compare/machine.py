"""What a result was measured on: versions, commit, machine; and the probe behind `auto`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

FIRST_PROBED, PROBED_GROWTH = 2, 4  # images of the first step of a probe, and times as many next
PROBE_S = 0.5  # after so long of timed steps no larger one is tried
DECISIVE, MEASURABLE_S = 3.0, 0.02  # so many times slower, and not just for starting operators


@cache
def versions() -> dict[str, str]:
    """Versions of what decides a result."""
    names = ("isospike", "torch", "torchvision", "numpy")
    found = {name: importlib.metadata.version(name) for name in names}
    return {**found, "python": platform.python_version()}


@cache
def commit() -> str:
    """Commit of the source tree, '+' where files differ from it; '' for an installed package."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return ""
    try:
        head = _git(root, "rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(root: Path, *arguments: str) -> str:
    result = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return result.stdout.strip()


def machine(device: torch.device) -> dict[str, Any]:
    """Processor, cores, threads, memory and accelerator."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    accelerator = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(pages * size / 1e9, 1),
        "accelerator": accelerator,
        "system": f"{platform.system()} {platform.machine()}",
    }


@cache
def processor() -> str:
    """Model name of the processor, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def choose_device(name: str) -> torch.device:
    """'auto' is cuda where there is one; TensorFloat-32 is off there: float32 is float32."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda' is not available here; allowed: auto, cpu")
    if name not in ("cpu", "cuda"):
        raise ValueError(f"unknown device {name!r}; allowed: auto, cpu, cuda")
    if name == "cuda":
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device(name)


def probe_precision(network: nn.Module, images: Tensor) -> dict[str, float]:
    """Seconds of one training step of `network` in each precision, on as many of `images` [B, …] as
    a short time allows: from two on, four times as many until all are in, half a second is spent,
    or one precision is so far ahead that more images cannot turn it.

    Best of two, after one that is not timed. The two take turns, so that other work on the machine
    slows both.
    """
    spent, count = 0.0, min(FIRST_PROBED, len(images))
    while True:
        trials = {name: _Step(network, images[:count], name) for name in ("float32", "bfloat16")}
        for trial in trials.values():
            trial.run()
        rounds = [{name: trial.run() for name, trial in trials.items()} for _ in range(2)]
        seconds = {name: min(times[name] for times in rounds) for name in trials}
        spent += sum(sum(times.values()) for times in rounds)
        fast, slow = sorted(seconds.values())
        decided = slow > DECISIVE * fast and slow > MEASURABLE_S
        if decided or spent > PROBE_S or count == len(images):
            network.zero_grad(set_to_none=True)
            return seconds
        count = min(PROBED_GROWTH * count, len(images))


class _Step:
    def __init__(self, network: nn.Module, images: Tensor, precision: str) -> None:
        self.network, self.images = network.train(), images
        self.enabled = precision == "bfloat16"

    def run(self) -> float:
        kind = self.images.device.type
        start = time.perf_counter()
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=self.enabled):
            self.network(self.images).float().square().mean().backward()
        if kind == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start
