"""What one case works with: its data in its representation, its network, its training and sweep."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from compare.case_log import CaseLog
from compare.cases import Case, representation_of
from compare.data import Dataset
from compare.data.augmentation import augment
from compare.faults import OutOfMemory, is_out_of_memory, plain
from compare.fingerprint import NETWORK_SEED, fingerprint
from compare.halfway import Halfway
from compare.joint import Joint
from compare.models import make_network
from compare.prepared import View, represent, sample
from compare.resolved import ANN_RECIPE, as_it_comes, for_case
from compare.store import LOG_FILE, Store
from compare.study import QUANTISED_ANN
from compare.sweep import Sweep, accuracy_of, sweep
from compare.traces import Traces, trace_neurons
from compare.trained_before import FinishedTraining, trained_before
from conversion import quantise_activations
from network.fit import Augment, Epoch, Outcome, fit
from network.order import batch_sizes
from network.recipe import AnnRecipe, Recipe
from network.seeds import derived_seed
from network.start import fix_scales, pass_through, whiten
from network.unroll import SpikingNetwork

WHITENED_IMAGES = 5000
TRAINING_COST = 3.0  # a training step against a forward pass


@dataclass
class Workplace:
    """What the cases of one study share. `tell(label, work)` reports work done.

    probe: what decided for the precision; '' where it was asked for.
    joint: where torchrun's processes train together, how they begin and end.
    """

    store: Store
    study: str
    datasets: dict[str, Dataset]
    device: torch.device
    batch_size: int
    command: str
    probe: str = ""
    tell: Callable[[str, float], None] = lambda label, work: None
    joint: Joint | None = None


class CaseContext:
    """The data of a case in its representation, and its network."""

    def __init__(self, case: Case, name: str, ann: str | None, place: Workplace) -> None:
        self.case, self.place, self.ann, self.name = case, place, ann, name
        work = place.store.work(name)
        self.checkpoint, self.unfinished_sweep = work / "checkpoint.pt", work / "sweep.pt"
        self.log = CaseLog(work / LOG_FILE)
        self.dataset = place.datasets[case.dataset]
        self.representation = representation_of(case)
        self.train = self._view(self.dataset.train)
        self.validation = self._view(self.dataset.validation)
        self.test = self._view(self.dataset.test)

    def log_data(self) -> None:
        """What the case sees, and on what it runs."""
        data = self.dataset
        self.log.say(
            f"data {data.name}, fingerprint {data.fingerprint[:16]}: {len(data.train)} training, "
            f"{len(data.validation)} validation, {len(data.test)} test images; "
            f"{self.place.device}, {torch.get_num_threads()} threads, precision "
            f"{self.case.precision}{f' ({self.place.probe})' if self.place.probe else ''}"
            + (f"; {data.note}" if data.note else "")
        )

    def _view(self, arrays: Any) -> View:
        return View(arrays, self.representation, self.dataset.mean, self.dataset.std)

    def network(self, case: Case | None = None) -> nn.Module:
        case = case or self.case
        network = make_network(
            case.architecture,
            self.dataset.geometry,
            width=case.width,
            batch_norm=case.batch_norm,
            dropout=case.dropout,
            seed=derived_seed(case.seed, NETWORK_SEED),
            pretrained=case.arm == "ann",
            to_train=not as_it_comes(case),
        )
        if case.base == QUANTISED_ANN:
            network = quantise_activations(network, **case.options)
        return network

    def ann_to_train(self) -> tuple[nn.Module, AnnRecipe]:
        """A fresh ANN, with the first weights that its recipe asks for, on the device.

        Raises StartError where it cannot start so.
        """
        recipe = for_case(ANN_RECIPE, self.case)
        network = self.started(recipe)
        if recipe.fixed_scales:
            fix_scales(network)
        return network, recipe

    def started(self, recipe: Recipe) -> nn.Module:
        """A fresh network with the first weights that a recipe asks for, on the device.

        Raises StartError where it cannot start so.
        """
        network = self.network()
        if recipe.whitened:
            images, _ = sample(self.train, WHITENED_IMAGES, derived_seed(self.case.seed, 20))
            whiten(network, images)
        if recipe.identity:
            pass_through(network)
        return network.to(self.place.device)

    def trained_ann(self) -> nn.Module:
        """The finished ANN that this case starts from; DamagedCase where it has been changed."""
        assert self.ann is not None
        assert self.case.ann is not None
        self.place.store.read(self.ann)
        network = self.network(self.case.ann)
        file = self.place.store.path(self.ann) / "weights.safetensors"
        network.load_state_dict(safetensors.torch.load_file(file))
        return network.eval().to(self.place.device)

    def trained_before(self) -> FinishedTraining | None:
        """This case's training, where the study has done it for another sweep.

        Processes that train together train again: they would have to agree on it.
        """
        if self.place.joint is not None:
            return None
        known_by = fingerprint(self.case, self.dataset)
        found = trained_before(self.case, self.place.store, known_by)
        if found is not None:
            self.log.say(f"takes the training of {found.case}, which differs in its sweep alone")
        return found

    def training(self) -> tuple[View, Augment]:
        """Training images as pixels, and what turns a batch of them into the network's input."""
        if self.representation in ("events", "mean-events"):
            return self.train, lambda images, generator, turns: images
        name = self.case.augmentation or self.dataset.augmentation
        function = augment(name)
        mean, std, kind = self.dataset.mean, self.dataset.std, self.representation

        def transform(images: Tensor, generator: torch.Generator, turns: Tensor) -> Tensor:
            moved = function(images, generator, turns)
            return represent(moved * 255, kind, mean, std)

        return View(self.dataset.train, "pixels", mean, std), transform

    def tell(self, stage: str) -> Callable[[float], None]:
        words = f"{self.case.dataset} {self.case.architecture} {self.case.method}"
        label = f"{words}, seed {self.case.seed}: {stage}"
        return lambda work: self.place.tell(label, work)

    def fit(
        self,
        network: nn.Module,
        objective: Callable[[Tensor, Tensor, Tensor], Outcome],
        recipe: Recipe,
        classify: Callable[[Tensor, Tensor], Tensor],
        cost: float,
    ) -> list[Epoch]:
        """Train with this case's data, seed, validation split and checkpoint.

        cost: of one image in training, in forward passes of one image and one step.
        """
        data, transform = self.training()
        recipe = for_case(recipe, self.case)
        tell = self.tell("training")
        batches = len(batch_sizes(len(data), recipe.batch_size))
        per_batch, per_image = cost * len(data) / batches, cost / TRAINING_COST
        position = 0

        def report(done: int, total: int, row: Epoch | None) -> None:
            nonlocal position
            if not position and done > 1:
                self.log.say(f"training goes on after {done - 1} of {total} batches")
                tell((done - 1) // batches * len(self.validation) * per_image)
            tell(per_batch * (done - position))
            position = done
            if row is not None:
                self.log.say(_of_epoch(row, recipe.epochs))

        tell_validation = self.tell("validation")

        def classify_and_tell(images: Tensor, indices: Tensor) -> Tensor:
            scores = classify(images, indices)
            tell_validation(len(indices) * per_image)
            return scores

        def validate() -> float:
            size = self.place.batch_size
            return accuracy_of(classify_and_tell, self.validation, size, self.say_halved)

        joint = self.place.joint
        try:
            with nullcontext() if joint is None else joint.training() as team:
                return fit(
                    network,
                    objective,
                    data,
                    recipe,
                    seed=derived_seed(self.case.seed, 11),
                    augment=transform,
                    validate=validate if len(self.validation) else None,
                    checkpoint=self.checkpoint,
                    report=report,
                    team=team,
                )
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(self._too_large(recipe.batch_size, error)) from error

    def _too_large(self, batch_size: int, error: BaseException) -> str:
        return (
            f"out of memory in training with batches of {batch_size} images "
            f"({plain(error)[:120]}): set a smaller batch_size under "
            f"[{'ann' if self.case.arm == 'ann' else 'direct'}], which is another training "
            "with another result, or fewer train_timesteps"
        )

    def sweep(self, network: SpikingNetwork) -> Sweep:
        tell, steps = self.tell("sweep"), self.case.timesteps
        outcome = sweep(
            network,
            self.test,
            self.dataset.shape,
            steps,
            seed=derived_seed(self.case.seed, 12),
            batch_size=self.place.batch_size,
            device=self.place.device,
            precision=self.case.sweep_precision,
            advance=lambda images: tell(float(images * steps)),
            halfway=Halfway(self.unfinished_sweep, say=self.log.say),
        )
        self.log_sweep(outcome)
        return outcome

    def log_sweep(self, outcome: Sweep) -> None:
        """What was swept in which arithmetic, and whether memory sufficed."""
        accuracy = outcome.rows[-1]["accuracy"]
        images = len(outcome.labels)
        self.log.say(f"swept {images} images ({outcome.arithmetic}): accuracy {accuracy:.4f}")
        if outcome.halved is not None:
            self.say_halved(outcome.halved)

    def say_halved(self, size: int) -> None:
        """Memory sufficed for so many images at once, and not for those that were asked for."""
        self.log.say(
            f"memory did not suffice for {self.place.batch_size} images at once: "
            f"went on with {size}"
        )

    def traces(self, network: SpikingNetwork) -> Traces:
        return trace_neurons(
            network,
            self.test,
            self.case.timesteps,
            run_seed=derived_seed(self.case.seed, 12),
            watch_seed=derived_seed(self.case.seed, 19),
            device=self.place.device,
        )


def _of_epoch(row: Epoch, epochs: int) -> str:
    held = row.validation_accuracy
    validation = "" if held is None else f", validation {held:.4f}"
    return (
        f"epoch {row.epoch} of {epochs}: loss {row.train_loss:.4f}, "
        f"accuracy {row.train_accuracy:.4f}{validation}"
    )
