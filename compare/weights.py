"""Weights that are given to `isospike convert`, and the case that they were trained in."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from compare.models import ModelError
from compare.store import CASE_FILE
from compare.study import QUANTISED_ANN


@dataclass(frozen=True)
class Made:
    """How the network was built that the weights are of; `quantisation`: of its activations.

    encoding: of the spiking networks that it was trained for, which decides what the images are;
        None where nothing is known of it.
    """

    width: float = 1.0
    batch_norm: bool = True
    dropout: float = 0.0
    quantisation: dict[str, Any] | None = None
    encoding: str | None = None


def made_with(weights: Path, architecture: str) -> Made:
    """What a case of a study beside the weights says; as registered where there is none.

    Raises ModelError where the case is of another architecture, or of a spiking network.
    """
    try:
        spec = json.loads((weights.parent / CASE_FILE).read_text("utf-8"))["spec"]
        arm, name, base = str(spec["arm"]), str(spec["architecture"]), str(spec["base"])
        made = Made(
            float(spec["width"]),
            bool(spec["batch_norm"]),
            float(spec["dropout"]),
            dict(spec["options"]) if base == QUANTISED_ANN else None,
            str(spec["encoding"]) if "encoding" in spec else None,
        )
    except (OSError, ValueError, KeyError, TypeError):  # none, or not one of a study's
        return Made()
    if ":" not in architecture and name != architecture:
        raise ModelError(f"weights {weights} are of the architecture {name}, got {architecture}")
    if arm != "ann":
        raise ModelError(
            f"weights {weights} are of a spiking network ({arm}, {base}): give those of the ANN"
        )
    return made


def load_weights(network: nn.Module, path: Path) -> None:
    """Load safetensors or a state dictionary (weights_only) into the network.

    Raises ModelError where the file is neither, or its tensors do not fit.
    """
    if not path.is_file():
        raise ModelError(f"weights file {path} does not exist")
    state = _read_weights(path)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"weights {path} do not fit the network: {reason}") from error


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
            return tensors
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"weights {path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # torch's and pickle's errors share no base class
        raise ModelError(f"weights {path} {_unread(path)}") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ModelError(f"weights {path} must be a state dictionary, got {type(content).__name__}")
    return content


def _unread(path: Path) -> str:
    """Why a file was not loaded, in words of ours: torch's advise to run what is in it."""
    if path.suffix == ".safetensors":
        return "are not in the format safetensors, or cut off"
    if zipfile.is_zipfile(path):
        return "hold more than tensors and are not loaded: save network.state_dict() alone"
    return (
        "are no state dictionary that torch saved, or cut off (a file in the format safetensors "
        "must end in .safetensors)"
    )
