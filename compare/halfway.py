"""A sweep that was cut off: what it has counted so far, kept so that it goes on from there.

Counts are whole numbers in float64 and answers are per image, so a sweep that goes on ends bit for
bit as one that was never cut off (in float32: with the same batch size).
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from network.activity import ActivityCounter
from network.checkpoint import load_archive, write_archive

SAVE_EVERY_S = 60.0


@dataclass
class Counted:
    """Answers of the images that were done, and what the counter held then.

    predicted: int16 [T, images done]; labels: int16 [images done]. held: potentials that stood at
    the limit of whole numbers after the last step, by layer.
    """

    predicted: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)
    held: Counter[str] = field(default_factory=Counter)

    @property
    def images(self) -> int:
        return sum(len(part) for part in self.labels)


@dataclass
class Halfway:
    """Where an unfinished sweep is kept, and how often. file: None keeps nothing.

    say: told in one line when a sweep goes on or what was kept cannot be used.
    """

    file: Path | None = None
    every_s: float = field(default_factory=lambda: SAVE_EVERY_S)
    say: Callable[[str], None] = lambda text: None
    saved: float = field(default_factory=time.monotonic)

    def resume(self, key: str, counter: ActivityCounter) -> Counted:
        """Fill the counter and return the answers where they belong to the sweep of that key."""
        if self.file is None or not self.file.is_file():
            return Counted()
        content = _read(self.file)
        if content is None or content.get("key") != key:
            why = "is damaged" if content is None else "belongs to another network or setting"
            self.say(f"{self.file.name} {why}: the sweep begins anew")
            return Counted()
        restore(counter, content["counter"])
        self.say(f"sweep goes on after {counter.images} images")
        held = Counter(content.get("held", {}))
        return Counted([content["predicted"]], [content["labels"]], held)

    def save_if_due(self, key: str, counter: ActivityCounter, counted: Counted) -> None:
        """Write all that was counted, whole or not at all, if it is time again."""
        if self.file is None or time.monotonic() - self.saved < self.every_s:
            return
        content = {
            "key": key,
            "counter": snapshot(counter),
            "predicted": torch.cat(counted.predicted, dim=1),
            "labels": torch.cat(counted.labels),
            "held": dict(counted.held),
        }
        write_archive(self.file, content)
        self.saved = time.monotonic()


def snapshot(counter: ActivityCounter) -> dict[str, Any]:
    """A copy of all that a counter has summed."""
    return {
        "images": counter.images,
        "spikes": {name: counts.clone() for name, counts in counter.spikes.items()},
        "pooled": {name: counts.clone() for name, counts in counter.pooled.items()},
        "accumulates": {name: counts.clone() for name, counts in counter.accumulates.items()},
    }


def restore(counter: ActivityCounter, content: dict[str, Any]) -> None:
    """Put a snapshot back."""
    counter.images = content["images"]
    counter.spikes = {name: counts.clone() for name, counts in content["spikes"].items()}
    counter.pooled = {name: counts.clone() for name, counts in content.get("pooled", {}).items()}
    counter.accumulates = {n: counts.clone() for n, counts in content["accumulates"].items()}


def key_of(network: nn.Module, *facts: object) -> str:
    """A hash of weights, states and facts: what an unfinished sweep must share to go on."""
    digest = hashlib.sha256(repr(facts).encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _read(file: Path) -> dict[str, Any] | None:
    try:
        content = load_archive(file, "cpu")
    except Exception:  # a damaged archive may raise anything; the sweep then begins anew
        return None
    complete = isinstance(content, dict) and {"key", "counter", "predicted", "labels"} <= set(
        content
    )
    return content if complete else None
