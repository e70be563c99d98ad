"""`isospike convert`: a network of the user's, converted, swept, and written for other tools."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console
from torch import Tensor, nn

from compare.cases import REPRESENTATIONS, Representation
from compare.data import Dataset, load
from compare.data.arrays import Arrays
from compare.faults import memory_for
from compare.machine import choose_device, commit, machine, versions
from compare.models import ModelError, check_network, make_network
from compare.plan import SWEEP_PRECISION
from compare.prepared import View, offset_and_scale, sample
from compare.progress import Progress
from compare.replaced_directory import check_replaceable, is_partial, replacing_directory
from compare.store import replace_text, write_csv
from compare.sweep import Sweep, accuracy_of, sweep
from compare.sweep_tables import SWEEP_COLUMNS
from compare.terms import Terms, encoding_of, settled
from compare.weights import Made, load_weights, made_with
from conversion import CONVERSIONS, Audit, Conversion, convert, quantise_activations
from conversion.export import save_plain, write_nir
from network.graph import UnsupportedNetwork
from network.neurons import Reset
from network.options import resolve
from network.unroll import SpikingNetwork

BATCH = 100
RESULT = "conversion.json"
FILES = {RESULT, "sweep.csv", "snn.json", "snn.safetensors", "snn.nir"}


@dataclass(frozen=True)
class Request:
    """What is to be converted, how, and where to: the arguments of the command.

    data: directory of the data sets, None where they may be downloaded. directory: of the results.
    """

    model: str
    dataset: str
    method: str
    directory: Path
    weights: Path | None = None
    timesteps: int = 64
    options: Mapping[str, Any] = field(default_factory=dict)
    terms: Terms = field(default_factory=Terms)
    data: Path | None = None
    device: str = "auto"


def convert_model(request: Request) -> Path:
    """Convert, sweep, write; the directory with conversion.json, sweep.csv, snn.json, snn.nir.

    Raises ModelError for a registered architecture without weights: they would be random.
    """
    if request.weights is None and ":" not in request.model:
        raise ModelError(
            f"architecture {request.model} needs trained weights: give --weights FILE "
            "(safetensors or state_dict), or module:function that returns a trained network"
        )
    _refuse_others(request.directory)
    device = choose_device(request.device)
    method = CONVERSIONS.get(request.method)
    options = resolve(method.name, method.options, request.options)
    check_replaceable(request.directory)  # before anything takes its time
    made = Made() if request.weights is None else made_with(request.weights, request.model)
    encoding = encoding_of(request.terms, made)
    dataset = load(request.dataset, request.data, download=request.data is None)
    terms = settled(request.terms, encoding, method.name, len(dataset.train))
    request = replace(request, options=options, terms=terms)
    network = _network(request, dataset, made, device)
    work = len(dataset.test) * (1 + request.timesteps)
    with Progress(work, 1, Console(stderr=True)) as progress:
        converted = _converted(request, network, dataset, progress)
        accuracy, outcome = _swept(request, network, converted, dataset, device, progress)
        progress.finish_case()
    mean, std = offset_and_scale(_representation(terms), dataset.mean, dataset.std)
    content = {
        "model": request.model,
        "dataset": dataset.name,
        "dataset_note": dataset.note,
        "fingerprint": dataset.fingerprint,
        "mean": list(mean),  # what is taken off pixels in [0, 1], per channel,
        "std": list(std),  # and what they are divided by: the input of snn.nir
        "method": method.name,
        "options": options,
        **asdict(terms),
        "ann_accuracy": accuracy,
        "snn_accuracy": outcome.rows[-1]["accuracy"],
        "timesteps": request.timesteps,
        "calibration_timesteps": converted.calibration_timesteps,
        "audit": {key: list(value) for key, value in asdict(converted.audit).items()},
        "layers": dict(zip(converted.thresholds, converted.audit.replaced, strict=True)),
        "thresholds": {name: t.tolist() for name, t in converted.thresholds.items()},
        "versions": versions(),
        "commit": commit(),
        "machine": {**machine(device), "sweep_arithmetic": outcome.arithmetic},
    }
    _write(request.directory, content, outcome, converted.network.cpu(), dataset.shape)
    return request.directory


def _representation(terms: Terms) -> Representation:
    return REPRESENTATIONS[str(terms.encoding)]


def _view(arrays: Arrays, dataset: Dataset, terms: Terms) -> View:
    """Images as the network sees them under its encoding."""
    return View(arrays, _representation(terms), dataset.mean, dataset.std)


def _refuse_others(directory: Path) -> None:
    """Raise where a directory holds more than an earlier conversion."""
    found = {f.name for f in directory.iterdir()} if directory.is_dir() else set()
    found = {name for name in found if not is_partial(name)}
    others = sorted(found - FILES) if RESULT in found else sorted(found)
    if others:
        raise ModelError(
            f"{directory} holds other files, which would be removed "
            f"({', '.join(others[:3])}): choose another --out"
        )


def _network(request: Request, dataset: Dataset, made: Made, device: torch.device) -> nn.Module:
    """The trained network in eval mode, with its weights where they come apart from it."""
    with memory_for(f"network {request.model}"):
        network = make_network(
            request.model,
            dataset.geometry,
            width=made.width,
            batch_norm=made.batch_norm,
            dropout=made.dropout,
            seed=0,
            to_train=False,
        )
    if made.quantisation is not None:
        network = quantise_activations(network, **made.quantisation)
    if request.weights is not None:
        load_weights(network, request.weights)
    network.eval().to(device)
    check_network(network, dataset.geometry, to_train=False)
    return network


def _write(
    directory: Path,
    content: dict[str, Any],
    outcome: Sweep,
    network: SpikingNetwork,
    shape: tuple[int, ...],
) -> None:
    """All files or none; an earlier conversion in the directory is replaced."""
    with replacing_directory(directory) as partial:
        write_csv(partial / "sweep.csv", SWEEP_COLUMNS, outcome.rows)
        content["exports"] = _export(network, shape, partial)
        replace_text(partial / RESULT, json.dumps(content, indent=2, ensure_ascii=False))


def _converted(
    request: Request, network: nn.Module, dataset: Dataset, progress: Progress
) -> Conversion:
    """By a request with nothing left open."""
    terms = request.terms
    progress.begin(f"conversion by {request.method}")
    count = terms.calibration_images or len(dataset.train)
    images, _ = sample(_view(dataset.train, dataset, terms), count, terms.seed)
    return convert(
        network, images, method=request.method, options=request.options, encoding=terms.encoding,
        reset=cast(Reset, terms.reset), seed=terms.seed,
    )  # fmt: skip


def _swept(
    request: Request,
    network: nn.Module,
    converted: Conversion,
    dataset: Dataset,
    device: torch.device,
    progress: Progress,
) -> tuple[float, Sweep]:
    """Accuracy of the ANN and the sweep of the converted network, over all test images."""
    test, timesteps = _view(dataset.test, dataset, request.terms), request.timesteps

    def classify(images: Tensor, indices: Tensor) -> Tensor:
        scores: Tensor = network(images.to(device))
        progress.advance(len(indices))
        return scores

    def say_halved(size: int) -> None:
        progress.say(f"memory did not suffice for {BATCH} images at once: went on with {size}")

    progress.begin("accuracy of the ANN")
    accuracy = accuracy_of(classify, test, BATCH, say_halved)
    progress.begin(f"sweep to T = {timesteps}")
    outcome = sweep(
        converted.network,
        test,
        dataset.shape,
        timesteps,
        seed=request.terms.seed,
        batch_size=BATCH,
        device=device,
        precision=SWEEP_PRECISION,
        advance=lambda images: progress.advance(images * timesteps),
    )
    if outcome.halved is not None:
        say_halved(outcome.halved)
    return accuracy, outcome


def parse_options(pairs: list[str]) -> dict[str, Any]:
    """NAME=VALUE as TOML values; a bare word is text."""
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"--option is written NAME=VALUE, got {pair!r}")
        if name in options:
            raise ValueError(f"--option {name} is given twice, the second time as {value!r}")
        try:
            options[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            options[name] = value
    return options


def summary_lines(directory: Path) -> list[str]:
    """What a conversion did, for the terminal."""
    content = json.loads((directory / RESULT).read_text("utf-8"))
    audit = Audit(**{key: tuple(value) for key, value in content["audit"].items()})
    lines = [
        f"ANN {content['ann_accuracy']:.2%}, converted by {content['method']}: "
        f"{content['snn_accuracy']:.2%} at T = {content['timesteps']}",
        f"activations replaced: {len(audit.replaced)}, batch norms folded: {len(audit.folded)}, "
        f"analogue layers: {_listed(audit.analogue)}",
    ]
    return lines + [f"note: {note}" for note in (*audit.notes, *content["exports"]["notes"])]


def _listed(layers: tuple[str, ...]) -> str:
    """How many layers, and their paths: of a sequence these are numbers too."""
    return f"{len(layers)} ({', '.join(map(repr, layers))})" if layers else "0"


def _export(network: SpikingNetwork, shape: tuple[int, ...], directory: Path) -> dict[str, Any]:
    """Both exports where the network can be expressed in them; otherwise a note that says why."""
    notes = []
    files = []
    try:
        files += [path.name for path in save_plain(network, directory)]
    except UnsupportedNetwork as error:
        notes.append(f"no plain export: {error}")
    try:
        write_nir(network, shape, directory / "snn.nir")
        files.append("snn.nir")
    except UnsupportedNetwork as error:
        notes.append(f"no NIR export: {error}")
    return {"files": files, "notes": notes}
