"""How far each arithmetic moves accuracy at each T: one ANN, every test image, paired with float32.

    python -m benchmarks.agreement --data DIR --dataset mnist --architecture lenet \\
        --methods robust-norm,half-shift --out DIR

trains an ANN (with --weights FILE: takes that of a study's case) and writes agreement.csv (one row
per method and T), largest.csv and command.txt. float64 stands beside the others to show how far
float32 itself is from exact sums. The p value is that of McNemar's exact test on the images that
only one of the two arithmetics gets right (two-sided). --arithmetics takes fewer of them.
"""

from __future__ import annotations

import argparse
import copy
import csv
import shlex
import sys
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from scipy.stats import binomtest
from torch import Tensor, nn

from compare.data import Dataset
from compare.machine import commit, machine, versions
from compare.prepared import View, load_dataset, sample
from compare.sweep import accuracy_of, folded
from compare.weights import load_weights, made_with
from conversion import convert
from network.architectures import Geometry, build
from network.encodings import image_keys
from network.fit import Outcome, fit
from network.fixed import Bits, fixed_point, unroll_fixed
from network.recipe import Recipe
from network.unroll import SpikingNetwork, unroll

CALIBRATION_IMAGES = 500
BITS: tuple[Bits, ...] = (24, 16, 8)
REFERENCE = "float32"
OTHERS = ("float64", "bfloat16", *(f"int{bits}" for bits in BITS))


def main() -> None:
    parser = parser_of("Accuracy of other arithmetics beside float32.")
    parser.add_argument("--arithmetics", default=",".join(OTHERS), help="beside float32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dataset, train, test = data_of(options)
    network = given_or_trained(options, train, dataset.geometry)
    rows, notes = [], []
    for method, spiking in conversions(options, network, train):
        names = options.arithmetics.split(",")
        right = correct_at_every_step(spiking, dataset.shape, test, options.timesteps, names)
        rows += [{"method": method} | row for row in rows_of(right)]
        notes.append(f"{method}: {fixed_point(spiking, dataset.shape, 24).note}")
        print(notes[-1], flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    write_rows(options.out / "agreement.csv", rows)
    write_rows(options.out / "largest.csv", largest_of(rows))
    accuracy = accuracy_of(lambda images, _: network(images), test, 100, print)
    lines = [
        "python -m benchmarks.agreement " + shlex.join(_without_place(sys.argv[1:])),
        f"commit {commit()}, versions {versions()}",
        f"machine {machine(torch.device('cpu'))}",
        f"ANN: {100 * accuracy:.2f} %",
        *notes,
    ]
    (options.out / "command.txt").write_text("\n".join(lines) + "\n")
    print(options.out)


def parser_of(description: str) -> argparse.ArgumentParser:
    """Options that say which ANN is converted how, and swept on what."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--architecture", default="lenet")
    parser.add_argument("--methods", default="robust-norm")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--train-images", type=int)
    parser.add_argument("--test-images", type=int)
    parser.add_argument("--timesteps", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    return parser


def data_of(options: argparse.Namespace) -> tuple[Dataset, View, View]:
    """The data set, and its training and test images as networks see them."""
    dataset = load_dataset(
        options.dataset,
        options.data,
        download=False,
        validation=None,
        train_images=options.train_images,
        test_images=options.test_images,
    )
    train, test = (
        View(images, "normalised", dataset.mean, dataset.std)
        for images in (dataset.train, dataset.test)
    )
    return dataset, train, test


def conversions(
    options: argparse.Namespace, network: nn.Module, train: View
) -> Iterator[tuple[str, SpikingNetwork]]:
    """Every method and what it makes of the ANN, folded."""
    images, _ = sample(train, CALIBRATION_IMAGES, seed=0)
    for method in options.methods.split(","):
        yield method, folded(convert(network, images, method=method).network)


def _without_place(arguments: list[str]) -> list[str]:
    """The command without the folders that data and weights lie in on this machine."""
    return [
        {"--data": "DIR", "--weights": "CASE/weights.safetensors"}.get(before, argument)
        for before, argument in zip(["", *arguments], arguments, strict=False)
    ]


def given_or_trained(options: argparse.Namespace, data: View, geometry: Geometry) -> nn.Module:
    """The ANN with the weights that are given, else trained with the recipe's defaults."""
    if options.weights:
        made = made_with(options.weights, options.architecture)
        network = build(
            options.architecture, geometry, seed=0, width=made.width, batch_norm=made.batch_norm
        )
        load_weights(network, options.weights)
        return network.eval()
    network = build(options.architecture, geometry, seed=0, width=options.width)

    def objective(images: Tensor, labels: Tensor, keys: Tensor) -> Outcome:
        del keys
        scores = network(images)
        return Outcome(F.cross_entropy(scores, labels), scores)

    fit(network, objective, data, Recipe(epochs=options.epochs), seed=0)
    return network.eval()


@torch.no_grad()
def correct_at_every_step(
    network: SpikingNetwork,
    shape: tuple[int, ...],
    data: View,
    timesteps: int,
    names: Collection[str] = OTHERS,
) -> dict[str, Tensor]:
    """arithmetic -> bool [T, images], of float32 and those of OTHERS that are named.

    network: folded.
    """
    double = copy.deepcopy(network).double()

    def exact(images: Tensor, keys: Tensor) -> Tensor:
        return unroll(double, images.double(), timesteps, keys=keys)

    def rounded(images: Tensor, keys: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return unroll(network, images, timesteps, keys=keys).float()

    runs: dict[str, Callable[..., Tensor]] = {
        REFERENCE: partial(unroll, network, timesteps=timesteps),
        "float64": exact,
        "bfloat16": rounded,
    }
    for bits in BITS:
        whole = fixed_point(network, shape, bits)
        runs[f"int{bits}"] = partial(unroll_fixed, whole, timesteps=timesteps)
    runs = {name: run for name, run in runs.items() if name == REFERENCE or name in names}
    found: dict[str, list[Tensor]] = {name: [] for name in runs}
    for indices in torch.arange(len(data)).split(25):
        images, labels = data.batch(indices)
        for name, run in runs.items():
            scores = network.read(run(images, keys=image_keys(0, indices)))
            found[name].append(scores.argmax(-1) == labels)
    return {name: torch.cat(parts, 1) for name, parts in found.items()}


def rows_of(right: dict[str, Tensor]) -> list[dict[str, Any]]:
    """One row per T: accuracies (fractions of 1), and images that only one gets right."""
    reference = right[REFERENCE]
    others = [name for name in right if name != REFERENCE]
    rows = []
    for t in range(len(reference)):
        row: dict[str, Any] = {"timestep": t + 1, "images": reference.shape[1]}
        row |= {name: float(value[t].double().mean()) for name, value in right.items()}
        for name in others:
            gained = int((right[name][t] & ~reference[t]).sum())
            lost = int((reference[t] & ~right[name][t]).sum())
            either = gained + lost
            row[f"{name}_only"], row[f"{name}_not"] = gained, lost
            row[f"{name}_p"] = binomtest(gained, either).pvalue if either else 1.0
        rows.append(row)
    return rows


def largest_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per method and arithmetic the largest difference of accuracy from float32, in points."""
    found = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        names = [name.removesuffix("_only") for name in own[0] if name.endswith("_only")]
        for name in names:
            gaps = {row["timestep"]: 100 * abs(row[name] - row[REFERENCE]) for row in own}
            where = max(gaps, key=lambda step: gaps[step])
            points = round(gaps[where], 4)
            found.append(
                {"method": method, "arithmetic": name, "points": points, "timestep": where}
            )
    return found


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
