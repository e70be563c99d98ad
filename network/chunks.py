"""How many steps a run without a graph takes at once."""

from __future__ import annotations

import torch

INFERENCE_CHUNK = 4  # larger chunks leave the cache
LARGEST_MAP = (32 << 20) - 1  # bytes that a CPU's allocator keeps: what is larger goes back to the
# system when it is freed, and comes again page by page


def steps_at_once(largest: int, device: torch.device) -> int:
    """Steps at once where the largest map of one step has so many bytes (0: not known yet)."""
    if largest == 0 or device.type != "cpu":
        return INFERENCE_CHUNK
    return max(1, min(INFERENCE_CHUNK, LARGEST_MAP // largest))
