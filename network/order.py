"""Which images a batch of a training holds: all of it follows from the seed."""

from __future__ import annotations

import torch
from torch import Tensor

from network.seeds import derived_seed


def batch_sizes(images: int, batch_size: int) -> list[int]:
    """Images of every batch of an epoch; a last one of one image joins the batch before it, since
    batch norm has no variance over one image."""
    sizes = [batch_size] * (images // batch_size)
    rest = images % batch_size
    if rest == 1 and sizes:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes


class Order:
    """Every image once in each epoch, in an order of its own; epochs and batches count from 0."""

    def __init__(self, seed: int, images: int, batch_size: int) -> None:
        self.seed, self.images, self.batch_size = seed, images, batch_size
        self.sizes = batch_sizes(images, batch_size)
        self.numbers = torch.randint(2**31, (images,), generator=self._drawn(3))
        self.epoch, self.shuffled = -1, torch.empty(0, dtype=torch.int64)

    def batch(self, epoch: int, index: int) -> Tensor:
        """The images of a batch, int64 [B]."""
        if self.epoch != epoch:
            self.shuffled = torch.randperm(self.images, generator=self._drawn(0, epoch))
            self.epoch = epoch
        first = index * self.batch_size
        return self.shuffled[first : first + self.sizes[index]]

    def turns(self, epoch: int, indices: Tensor) -> Tensor:
        """How often each image was seen, on top of a random number of its own, int64 [B]."""
        return self.numbers[indices] + epoch

    def generator(self, epoch: int, index: int) -> torch.Generator:
        """For what is drawn for one batch."""
        return self._drawn(1, epoch, index)

    def _drawn(self, *path: int) -> torch.Generator:
        return torch.Generator().manual_seed(derived_seed(self.seed, *path))
