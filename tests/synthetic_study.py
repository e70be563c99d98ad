"""A made-up study directory with the files of the contract, for tests of the reports."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reports.energy import energy_pj_per_image
from reports.frame import COLUMNS

IMAGES = 400
CLASSES = 10
LAYERS = (("conv1", 864), ("conv2", 400), ("dense1", 100))
DENSE_MACS = 120_000.0
FIRST_LAYER_MACS = 20_000.0
METHODS = {
    # name: (arm, steps until it is two thirds up, ceiling below the ANN, spikes per image and T)
    "data-norm": ("converted", 14.0, 0.004, 40.0),
    "robust-norm": ("converted", 6.0, 0.003, 70.0),
    "spike-norm": ("converted", 20.0, 0.006, 30.0),
    "bptt": ("direct", 1.2, 0.005, 110.0),
}


def write_study(
    directory: Path,
    *,
    name: str = "made-up",
    methods: Sequence[str] = tuple(METHODS),
    seeds: int = 3,
    timesteps: Sequence[int] = tuple(range(1, 33)),
    networks: Sequence[tuple[str, int]] = (("lenet", 4),),
    train_timesteps: Sequence[int] = (8,),
    dataset: str = "mnist-5k",
    title: str = "A made-up study",
    extras: bool = False,
    variants: Mapping[str, tuple[str, Mapping[str, Any]]] | None = None,
) -> Path:
    """Write a study; the same arguments give the same files.

    variants: name -> (method of METHODS, its options), names that `methods` may then hold.
    """
    generator = np.random.default_rng(7)
    rows: list[dict[str, object]] = []
    for architecture, depth in networks:
        for seed in range(seeds):
            base = {
                "study": name,
                "dataset": dataset,
                "architecture": architecture,
                "depth": depth,
                "encoding": "constant",
                "seed": seed,
                "images": IMAGES,
                "calibration_timesteps": 0,
            }
            labels = np.arange(IMAGES) % CLASSES
            ease = generator.random(IMAGES)
            ceiling = 0.975 - 0.002 * seed - 0.003 * abs(depth - 5)
            rows += _ann(directory, base, ceiling, ease, labels)
            for method in methods:
                plain, options = (variants or {}).get(method, (method, {}))
                trained = train_timesteps if METHODS[plain][0] == "direct" else (None,)
                for train in trained:
                    chosen = base | {"method": method, "base": plain, "options": options}
                    rows += _spiking(
                        directory, chosen, train, ceiling, ease, labels, timesteps, extras
                    )
    frame = pd.DataFrame(rows)[list(COLUMNS)]
    frame["train_timesteps"] = frame["train_timesteps"].astype("Int64")
    frame.to_csv(directory / "records.csv", index=False)
    (directory / "study.toml").write_text(
        f"name = {json.dumps(name)}\ntitle = {json.dumps(title)}\n"
        'description = "Curves made up for tests."\nsource = "none"\nexpected_minutes = 1\n\n'
        '[[paper]]\nmethod = "ann"\narchitecture = "lenet"\nmeasure = "accuracy"\n'
        'value = 99.57\nunit = "%"\nsource = "Lee 2020, table 7"\n',
        encoding="utf-8",
    )
    return directory


def _ann(directory, base, ceiling, ease, labels):
    correct = (ease < ceiling)[None]
    row = base | {
        "arm": "ann",
        "method": "ann",
        "encoding": "",
        "train_timesteps": None,
        "timestep": 0,
        "correct": int(correct.sum()),
        "accuracy": float(correct.mean()),
        "mac_per_image": DENSE_MACS,
        "energy_pj_per_image": energy_pj_per_image("horowitz-fp32", 0.0, DENSE_MACS),
        "calibration_timesteps": None,
        "case": f"ann-{base['architecture']}-{base['seed']}",
    }
    for column in ("spikes", "input_spikes", "ac", "neuron_updates"):
        row[f"{column}_per_image"] = None
    _case(directory, row, [0], correct, labels, None)
    return [row]


def _spiking(directory, base, train, ceiling, ease, labels, timesteps, extras):
    method = base["method"]
    arm, pace, loss, spikes = METHODS[base["base"]]
    grid = np.asarray(timesteps)
    pace = pace * base["depth"] / 4
    share = (ceiling - loss) - 0.87 * np.exp(-grid / pace)
    correct = ease[None] < share[:, None]
    case = f"{method}-{base['architecture']}-{base['seed']}" + (f"-T{train}" if train else "")
    rows = []
    for place, timestep in enumerate(grid):
        ac = spikes * timestep * 60.0
        rows.append(
            base
            | {
                "arm": arm,
                "train_timesteps": train,
                "timestep": int(timestep),
                "correct": int(correct[place].sum()),
                "accuracy": float(correct[place].mean()),
                "spikes_per_image": spikes * timestep * (1 + 0.02 * base["seed"]),
                "input_spikes_per_image": None,
                "ac_per_image": ac,
                "mac_per_image": FIRST_LAYER_MACS,
                "neuron_updates_per_image": 1364.0 * timestep,
                "energy_pj_per_image": energy_pj_per_image("horowitz-fp32", ac, FIRST_LAYER_MACS),
                "case": case,
            }
        )
    _case(directory, rows[-1], grid, correct, labels, rows)
    if extras:
        _extras(directory / "cases" / case, grid)
    return rows


def _case(directory, row, timesteps, correct, labels, rows):
    home = directory / "cases" / str(row["case"])
    home.mkdir(parents=True)
    spiking = row["arm"] != "ann"
    facts = {
        "format": 1,
        "case": row["case"],
        "study": row["study"],
        "spec": {
            key: row[key]
            for key in ("dataset", "architecture", "depth", "method", "arm", "encoding", "seed")
        }
        | {"train_timesteps": row["train_timesteps"], "readout": "mean-current"}
        | {"base": row.get("base"), "options": row.get("options", {})},
        "dataset": {
            "name": row["dataset"],
            "fingerprint": "0" * 64,
            "official": None,
            "note": "made up",
            "train_images": 3500,
            "validation_images": 500,
            "test_images": IMAGES,
            "classes": CLASSES,
            "shape": [1, 28, 28],
        },
        "parameters": 61_706,
        "thresholds": {n: {"min": 1.0, "mean": 1.5 + i, "max": 2.0 + i}
                       for i, (n, _) in enumerate(LAYERS)} if spiking else {},
        "calibration_timesteps": 0,
        "versions": {"isospike": "0.1.0", "python": "3.11", "torch": "2.8", "numpy": "2.0"},
        "commit": "abcdef0",
        "machine": {"processor": "a processor", "cores": 2, "threads": 2, "memory_gb": 8,
                    "accelerator": None, "precision": "float32", "probe": ""},
        "command": f"isospike compare {row['study']}",
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:01:00+00:00",
        "elapsed_s": {"train": 40.0, "convert": 1.0, "sweep": 2.0, "total": 43.0},
        "ann_case": None,
        "checksums": {},
        "selection": {"epoch": 5},
    }  # fmt: skip
    (home / "case.json").write_text(json.dumps(facts), encoding="utf-8")
    predicted = np.where(correct, labels, (labels + 1) % CLASSES)
    np.savez(
        home / "correct.npz",
        timesteps=np.asarray(timesteps, dtype=np.int32),
        correct=correct,
        predicted=predicted.astype(np.int16),
        labels=labels.astype(np.int16),
    )
    if row["arm"] != "converted":
        _history(home)
    if rows:
        _layers(home, rows)


def _history(home):
    epochs = np.arange(1, 9)
    pd.DataFrame(
        {
            "epoch": epochs,
            "learning_rate": 0.01,
            "train_loss": 2.0 / epochs,
            "train_accuracy": 0.99 - 0.5 / epochs,
            "validation_accuracy": 0.97 - 0.5 / epochs,
            "elapsed_s": 1.5 * epochs,
        }
    ).to_csv(home / "history.csv", index=False)


def _layers(home, rows):
    table = []
    for row in rows:
        for index, (layer, neurons) in enumerate(LAYERS):
            spikes = row["spikes_per_image"] / len(LAYERS)
            table.append(
                {
                    "timestep": row["timestep"],
                    "index": index,
                    "layer": layer,
                    "kind": "hidden",
                    "operation": "conv" if index < 2 else "linear",
                    "neurons": neurons,
                    "spikes_per_image": spikes,
                    "ac_per_image": 0.0 if index == 0 else row["ac_per_image"] / 2,
                    "mac_per_image": FIRST_LAYER_MACS if index == 0 else 0.0,
                    "neuron_updates_per_image": neurons * row["timestep"],
                    "in_channels": (1, 6, 400)[index],
                    "out_channels": (6, 16, 100)[index],
                    "kernel_height": (5, 5, 1)[index],
                    "kernel_width": (5, 5, 1)[index],
                    "stride": 1,
                    "out_height": (12, 5, 1)[index],
                    "out_width": (12, 5, 1)[index],
                    "input_spikes_per_image": None if index == 0 else spikes,
                }
            )
    pd.DataFrame(table).to_csv(home / "layers.csv", index=False)


def _extras(home, grid):
    """The optional files: conversion error, gradients, and traces of one image."""
    generator = np.random.default_rng(3)
    pd.DataFrame(
        [
            {
                "timestep": int(t),
                "index": index,
                "layer": layer,
                "clipping": 0.02 * (index + 1),
                "quantisation": 0.3 / t,
                "unevenness": 0.1 * (index + 1) / t,
                "total": 0.02 * (index + 1) + 0.3 / t + 0.1 * (index + 1) / t,
            }
            for t in grid
            for index, (layer, _) in enumerate(LAYERS)
        ]
    ).to_csv(home / "errors.csv", index=False)
    pd.DataFrame(
        [
            {
                "parameter": "gamma",
                "value": gamma,
                "index": index,
                "layer": layer,
                "gradient": 10.0 ** (-gamma * index / 10),
            }
            for gamma in (1.0, 10.0, 30.0)
            for index, (layer, _) in enumerate(LAYERS)
        ]
    ).to_csv(home / "gradients.csv", index=False)
    steps = int(grid[-1])
    np.savez(
        home / "traces.npz",
        raster=generator.random((steps, 60)) < 0.2,
        membrane_conv1=generator.normal(0.3, 0.4, 500),
        membrane_conv2=generator.normal(0.1, 0.5, 500),
        rates_conv1=generator.beta(1, 6, 864),
        rates_conv2=generator.beta(1, 3, 400),
        currents=np.cumsum(generator.normal(0.2, 0.4, (steps, CLASSES)), axis=0),
        label=np.int64(3),
    )
