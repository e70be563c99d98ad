"""Steps that a run takes at once."""

from __future__ import annotations

from numbers import Integral

import torch
from torch import Tensor, fx

from network.tracing import UnsupportedNetwork

INFERENCE_CHUNK = 4  # larger chunks leave the cache
LARGEST_MAP = (32 << 20) - 1  # bytes that a CPU's allocator keeps: what is larger goes back to the
# system when it is freed, and comes again page by page


def steps_at_once(largest: int, device: torch.device) -> int:
    """Steps at once where the largest map of one step has so many bytes (0: not known yet)."""
    if largest == 0 or device.type != "cpu":
        return INFERENCE_CHUNK
    return max(1, min(INFERENCE_CHUNK, LARGEST_MAP // largest))


def check_run(timesteps: int, images: Tensor, keys: Tensor | None) -> None:
    """Raises ValueError for timesteps below 1 or not whole, and keys that are not one per image."""
    if isinstance(timesteps, bool) or not isinstance(timesteps, Integral):
        raise ValueError(f"timesteps must be a whole number, got {timesteps!r}")
    if timesteps < 1:
        raise ValueError(f"timesteps must be at least 1, got {timesteps}")
    if keys is not None and keys.shape != images.shape[:1]:
        raise ValueError(f"keys must be one per image, [{len(images)}], got {list(keys.shape)}")


def refuse_nan(images: Tensor) -> None:
    """Raises ValueError for images with NaN: such a current never fires, and no score shows it."""
    if bool(images.isnan().any()):
        raise ValueError("images must be numbers, got NaN")


def check_chunk(chunk: int, timesteps: int, *, graph: bool) -> None:
    """Raises ValueError for a chunk below 1, or one with a graph that gradients would end at."""
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    if graph and chunk < timesteps:
        raise ValueError(
            f"gradients need all {timesteps} steps at once, got chunk = {chunk}: leave it out, or "
            "run under torch.no_grad()"
        )


def by_steps(x: Tensor, steps: int, batch: int, node: fx.Node) -> Tensor:
    """x [steps·B, ...] as [steps, B, ...]; UnsupportedNetwork, naming the node that reads it, where
    the network has moved its images out of the first axis or merged others with it."""
    if x.shape[0] != steps * batch:
        raise UnsupportedNetwork(
            f"what {node.name} reads has {x.shape[0]} rows for {batch} images and {steps} steps: "
            "the first axis must stay that of the images"
        )
    return x.unflatten(0, (steps, batch))
