"""The only training loop: ANNs, spiking networks and fine-tuning all go through `fit`.

All randomness of a batch (order, augmentation, dropout, spike trains) is derived from
(seed, epoch, batch). A training that was cut off therefore continues from its last checkpoint and
ends bit for bit as if it had not been cut (same machine, same thread count).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from network.checkpoint import read_checkpoint, write_archive
from network.lookahead import Lookahead
from network.optimiser import make_optimiser, set_rate
from network.order import Order
from network.recipe import Recipe, learning_at, learning_rate_at
from network.seeds import derived_seed
from network.team import Team, WholeBatch

CHECKPOINT_EVERY_S = 60.0


class TrainingDiverged(ValueError):
    """The loss became NaN or infinite."""


class Batches(Protocol):
    """Images by index: normalised float images [B, ...] and labels int64 [B]."""

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]: ...


class Outcome(NamedTuple):
    """What an objective returns: the loss to differentiate and the class scores [B, K]."""

    loss: Tensor
    scores: Tensor


# objective(images [B, ...], labels [B], keys int64 [B] for stochastic encodings) -> Outcome
Objective = Callable[[Tensor, Tensor, Tensor], Outcome]
# augment(images [B, ...], generator, turns int64 [B]: as `Order.turns`) -> images [B, ...]
Augment = Callable[[Tensor, torch.Generator, Tensor], Tensor]


@dataclass(frozen=True)
class Epoch:
    """One row of history.csv; accuracies are fractions of 1."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_accuracy: float | None
    elapsed_s: float


@dataclass
class _Progress:
    """Where a training stands: what a checkpoint holds beside the tensors."""

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    elapsed_s: float = 0.0


def fit(
    network: nn.Module,
    objective: Objective,
    data: Batches,
    recipe: Recipe,
    *,
    seed: int,
    augment: Augment | None = None,
    validate: Callable[[], float] | None = None,
    checkpoint: Path | None = None,
    report: Callable[[int, int, Epoch | None], None] | None = None,
    team: Team | None = None,
) -> list[Epoch]:
    """Train `network` in place; its history, one Epoch each.

    validate: accuracy on held-out images, called after every epoch.
    checkpoint: file that the training continues from when it exists, removed by the caller.
    report: called with (batches done, batches in all, the epoch just finished or None).
    team: the processes that share every batch; all of them call this with the same arguments. The
        first one validates and keeps the checkpoint.
    Raises TrainingDiverged when the loss stops being finite.
    """
    trainer = _Trainer(network, objective, data, recipe, seed, augment, checkpoint, team)
    trainer.resume()
    saved = time.monotonic()
    while trainer.progress.epoch < recipe.epochs:
        while trainer.progress.batch < trainer.batches_per_epoch:
            trainer.train_batch()
            if report is not None:
                report(trainer.batches_done, trainer.batches, None)
            if time.monotonic() - saved > CHECKPOINT_EVERY_S:
                trainer.save()
                saved = time.monotonic()
        row = trainer.finish_epoch(validate)
        trainer.save()
        saved = time.monotonic()
        if report is not None:
            report(trainer.batches_done, trainer.batches, row)
    return trainer.history


@contextmanager
def _enough_for_batch_norm(images: int) -> Iterator[None]:
    """Say what is wrong where batch norm refuses a batch of one image."""
    try:
        yield
    except ValueError as error:
        if images > 1 or "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            "one image is too few for batch norm, which has no variance over it: at least 2 "
            "training images and a batch_size of at least 2 are allowed"
        ) from error


class _Trainer:
    """State of one training: optimiser, schedule, position, history."""

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        data: Batches,
        recipe: Recipe,
        seed: int,
        augment: Augment | None,
        checkpoint: Path | None,
        team: Team | None,
    ) -> None:
        self.network, self.objective, self.data, self.team = network, objective, data, team
        self.recipe, self.seed, self.augment, self.file = recipe, seed, augment, checkpoint
        self.device = next(network.parameters()).device
        self.order = Order(seed, len(data), recipe.batch_size)
        self.batches_per_epoch = len(self.order.sizes)
        self.batches = recipe.epochs * self.batches_per_epoch
        self.optimiser = make_optimiser(network, recipe)
        self.lookahead = Lookahead(network) if recipe.lookahead else None
        self.step: Callable[..., Any] = objective
        if team is not None:
            for images in set(self.order.sizes):
                team.share(images)
            self.step = team.wrapped(network, objective)
        self.progress = _Progress()
        self.history: list[Epoch] = []
        self.clock = time.monotonic()

    @property
    def batches_done(self) -> int:
        return self.progress.epoch * self.batches_per_epoch + self.progress.batch

    def train_batch(self) -> None:
        epoch, index = self.progress.epoch, self.progress.batch
        self.network.train()
        rate = learning_rate_at(self.recipe, self.batches_done, self.batches_per_epoch)
        set_rate(self.optimiser, rate)
        indices = self.order.batch(epoch, index)
        images, labels = self.data.batch(indices)
        images, labels = images.to(self.device), labels.to(self.device)
        generator = self.order.generator(epoch, index)
        if self.augment is not None:
            images = self.augment(images, generator, self.order.turns(epoch, indices))
        keys = torch.randint(2**62, (len(labels),), generator=generator)
        size, rows = len(labels), slice(0, len(labels))
        if self.team is not None:
            rows = self.team.share(size)
            images, labels, keys = images[rows], labels[rows], keys[rows]
        with self._surroundings(size, rows, rate), _enough_for_batch_norm(size):
            torch.manual_seed(derived_seed(self.seed, 2, epoch, index))
            loss, scores = self.step(images, labels, keys.to(self.device))
        value, correct = loss.item(), float((scores.argmax(1) == labels).sum())
        if self.team is not None:
            share = len(labels) / size
            loss = loss * (share * self.team.size)  # the average over the processes is taken later
            value, correct = self.team.total((value * share, correct))
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"the loss is {value} in epoch {epoch + 1}, batch {index + 1}: "
                f"lower the learning rate (it is {rate:.3g})"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.recipe.clip_gradient is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_gradient)
        self.optimiser.step()
        self.progress.loss_sum += value * size
        self.progress.correct += int(correct)
        self.progress.seen += size
        self.progress.batch += 1
        if self.lookahead is not None:
            self.lookahead.follow(self.batches_done, self.batches)

    def finish_epoch(self, validate: Callable[[], float] | None) -> Epoch:
        progress = self.progress
        self._check_weights()
        accuracy = None
        if validate is not None and self._is_first:
            self.network.eval()
            with learning_at(1.0, self._done):
                accuracy = validate()
        row = Epoch(
            progress.epoch + 1,
            learning_rate_at(self.recipe, self.batches_done - 1, self.batches_per_epoch),
            progress.loss_sum / progress.seen,
            progress.correct / progress.seen,
            accuracy,
            progress.elapsed_s + self._lap(),
        )
        self.history.append(row)
        self.progress = _Progress(epoch=progress.epoch + 1, elapsed_s=row.elapsed_s)
        return row

    @property
    def _is_first(self) -> bool:
        return self.team is None or self.team.rank == 0

    @contextmanager
    def _surroundings(self, images: int, rows: slice, rate: float) -> Iterator[None]:
        """What a batch is computed in; its random numbers leave the caller's as they are."""
        half = torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"
        )
        whole = nullcontext() if self.team is None else WholeBatch(images, rows)
        learning = learning_at(rate / self.recipe.learning_rate, self._done)
        with torch.random.fork_rng(), half, whole, learning:
            yield

    @property
    def _done(self) -> float:
        """Share of the training's batches that are done."""
        return self.batches_done / self.batches

    def _check_weights(self) -> None:
        """The last step of an epoch may spoil the weights after its loss was still finite."""
        for name, parameter in self.network.named_parameters():
            if not bool(parameter.isfinite().all()):
                raise TrainingDiverged(
                    f"the weights {name} are not finite after epoch {self.progress.epoch + 1}: "
                    "lower the learning rate"
                )

    def _lap(self) -> float:
        now = time.monotonic()
        lap, self.clock = now - self.clock, now
        return lap

    def save(self) -> None:
        """Write the checkpoint whole or not at all."""
        if self.file is None or not self._is_first:
            return
        self.progress = replace(self.progress, elapsed_s=self.progress.elapsed_s + self._lap())
        content = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "lookahead": None if self.lookahead is None else self.lookahead.slow,
            "progress": asdict(self.progress),
            "history": [asdict(row) for row in self.history],
            "recipe": repr(self.recipe),
            "seed": self.seed,
        }
        write_archive(self.file, content)

    def resume(self) -> None:
        """Continue from the checkpoint where there is one of the same training."""
        content = None
        if self._is_first and self.file is not None:
            content = read_checkpoint(self.file, self.device, repr(self.recipe), self.seed)
        if self.team is not None:
            content = self.team.from_first(content)
        if isinstance(content, Exception):
            raise content
        if content is None:
            return
        self.network.load_state_dict(content["network"])
        self.optimiser.load_state_dict(content["optimiser"])
        if self.lookahead is not None:
            self.lookahead.resume(content["lookahead"])
        self.progress = _Progress(**content["progress"])
        self.history = [Epoch(**row) for row in content["history"]]
