"""How long a study takes, from its operation counts: `python -m compare.estimate STUDY ...`.

Rates are rough: those that docs/benchmarks/avx512.md has for VGG9 on 2 cores, in training and in
sweeps of 24 bits; lower for small networks, as the receipts have them. For an H100 a tenth of its
peak, and never less than the time to start each layer's kernels.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import NamedTuple

from compare.case_context import TRAINING_COST
from compare.cases import Case
from compare.plan import (
    CALIBRATION_STEPS,
    SMALL_NETWORK,
    SWEEP_PRECISION,
    cases_of,
    multiplications,
)
from compare.resolved import calibration_images, recipe_of
from compare.study import Study, load_study
from network.architectures import Geometry, build, describe


class Size(NamedTuple):
    """Images, and the shape and classes of one."""

    train: int
    test: int
    shape: tuple[int, int, int]
    classes: int


SIZES = {
    "mnist-5k": Size(3_500, 1_000, (1, 28, 28), 10),
    "mnist": Size(55_000, 10_000, (1, 28, 28), 10),
    "nmnist": Size(55_000, 10_000, (2, 34, 34), 10),
    "svhn": Size(68_257, 26_032, (3, 32, 32), 10),
    "cifar10": Size(45_000, 10_000, (3, 32, 32), 10),
    "cifar100": Size(45_000, 10_000, (3, 32, 32), 100),
    "imagenette": Size(8_522, 3_925, (3, 128, 128), 10),
    "dvs-gesture": Size(1_208, 288, (2, 32, 32), 11),
    "cifar10-dvs": Size(8_100, 1_000, (2, 42, 42), 10),
}
SMALL, LARGE = 3e10, 1e11  # multiply-adds per second on 2 cores, in training
SMALL_SWEEP, LARGE_SWEEP = 5e10, 2.8e11  # and in sweeps, those of the ANN counted per step
H100, H100_LAYER_S = 5e13, 3e-5  # multiply-adds per second; seconds to start a layer's kernels
SWEEP_BATCH = 100


def minutes(study: Study) -> tuple[float, float]:
    """Minutes on 2 cores and on an H100, all cases one after another."""
    settled = {"precision": "float32", "sweep_precision": SWEEP_PRECISION, "threads": 1}
    times = [_case(case) for case in cases_of(study.model_copy(update=settled))]
    return sum(t[0] for t in times) / 60, sum(t[1] for t in times) / 60


def _case(case: Case) -> tuple[float, float]:
    """Seconds of a case: forward passes of one image, and batches of a step, times their price."""
    size = SIZES[case.dataset]
    operations = _operations(case.dataset, case.architecture, case.width)
    swept, trained = float((case.test_images or size.test) * max(1, case.timesteps)), 0.0
    batches = swept / SWEEP_BATCH
    recipe = recipe_of(case)
    if recipe is None:
        swept += calibration_images(case, case.base) * CALIBRATION_STEPS
    else:
        images = (case.train_images or size.train) * recipe.epochs * (case.train_timesteps or 1)
        trained = TRAINING_COST * images
        batches += TRAINING_COST * images / recipe.batch_size
    small = operations < SMALL_NETWORK
    rate, sweep_rate = (SMALL, SMALL_SWEEP) if small else (LARGE, LARGE_SWEEP)
    starting = batches * describe(case.architecture).depth * H100_LAYER_S
    cores = trained * operations / rate + swept * operations / sweep_rate
    return cores, max((trained + swept) * operations / H100, starting)


@cache
def _operations(dataset: str, architecture: str, width: float) -> int:
    """Multiply-adds of one forward pass of one image."""
    size = SIZES[dataset]
    network = build(architecture, Geometry(*size.shape, size.classes), width=width)
    return multiplications(network, size.shape)


def main() -> None:
    """Print the minutes of the studies that are named."""
    for name in sys.argv[1:]:
        cores, h100 = minutes(load_study(name))
        sys.stdout.write(f"{name}  expected_minutes = {cores:.2g}  h100 {h100:.2g}\n")


if __name__ == "__main__":
    main()
