"""First weights that a short training starts from, beyond those that an architecture draws."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCHES = 200_000  # at most so many are looked at
FLOOR = 5e-4  # added to a variance, so that what images hardly have is not blown up


class StartError(ValueError):
    """A network that cannot start so: one line with what, what is allowed, what it has."""


@torch.no_grad()
def whiten(network: nn.Module, images: Tensor) -> None:
    """Make the first convolution a whitening of patches, and freeze it (Jordan 2024).

    Its channels become ± the leading eigenvectors of the covariance of the patches that it sees in
    the images [B, C, H, W], each over the root of its variance: what comes out is uncorrelated.
    Raises StartError where the first layer is no plain convolution, or has more than twice as many
    channels as a patch has values.
    """
    first = next((m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)), None)
    if (
        not isinstance(first, nn.Conv2d)
        or (first.groups, first.dilation) != (1, (1, 1))
        or first.in_channels != images.shape[1]
    ):
        kind = "no layer with weights" if first is None else repr(first)
        raise StartError(f"whitened = true needs a plain convolution as first layer, got {kind}")
    channels, values = first.out_channels, first.weight[0].numel()
    if channels > 2 * values:
        raise StartError(
            f"whitened = true: the first convolution may have at most {2 * values} channels, two "
            f"for each value of its {values}-value patches; got {channels}"
        )
    variances, vectors = torch.linalg.eigh(_covariance(first, images.double()))
    rows = (vectors / (variances.clamp(min=0) + FLOOR).sqrt()).T.flip(0)  # the largest first
    rows = rows[: (channels + 1) // 2]
    weights = torch.cat([rows, -rows])[:channels]
    first.weight.copy_(weights.view_as(first.weight))
    first.weight.requires_grad_(False)


def _covariance(layer: nn.Conv2d, images: Tensor) -> Tensor:
    """[V, V] of the patches within the images' borders, some of them where there are many."""
    patches = F.unfold(images, layer.kernel_size, stride=layer.stride)
    patches = patches.transpose(1, 2).flatten(0, 1)
    patches = patches[:: -(-len(patches) // PATCHES)]
    patches = patches - patches.mean(0)
    return patches.T @ patches / max(1, len(patches) - 1)


@torch.no_grad()
def pass_through(network: nn.Module) -> None:
    """Let hidden convolutions start by handing on what they read (Jordan 2024).

    Output channel i of a plain convolution that is not the first becomes input channel i, taken
    from the middle of its window (an even window: the mean of its middle four), as far as there
    are both; the other output channels keep their weights. Raises StartError where there is none.
    """
    hidden = [m for m in network.modules() if isinstance(m, nn.Conv2d)][1:]
    plain = [layer for layer in hidden if layer.groups == 1]
    if not plain:
        raise StartError("identity = true needs a plain convolution behind the first one, got none")
    for layer in plain:
        count = min(layer.in_channels, layer.out_channels)
        height, width = layer.kernel_size
        rows = slice((height - 1) // 2, height // 2 + 1)
        columns = slice((width - 1) // 2, width // 2 + 1)
        middle = torch.zeros(height, width, dtype=layer.weight.dtype, device=layer.weight.device)
        middle[rows, columns] = 1.0
        layer.weight[:count] = 0.0
        for channel in range(count):
            layer.weight[channel, channel] = middle / middle.sum()


def fix_scales(network: nn.Module) -> None:
    """Let the scales of batch norm stay what they are, 1 at first (Jordan 2024).

    Raises StartError where there is no batch norm with a scale.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    scales = [norm.weight for norm in norms if norm.weight is not None]
    if not scales:
        raise StartError("fixed_scales = true needs batch norm with a scale, got none")
    for scale in scales:
        scale.requires_grad_(False)
