"""Files that a training, or a sweep, goes on from: written whole or not at all, read with care."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from network.files import replacing


def write_archive(file: Path, content: dict[str, Any]) -> None:
    """Put `content` (tensors and plain values) in the place of the file."""
    buffer = io.BytesIO()  # torch turns a full disk into errors of its own
    torch.save(content, buffer)
    with replacing(file) as partial:
        partial.write_bytes(buffer.getbuffer())


def load_archive(file: Path, device: torch.device | str) -> Any:
    """Tensors and plain values that torch saved; raises where the file is none of these, or where
    a part of it is not what was written: torch itself does not compare the archive's CRC-32."""
    stream = io.BytesIO(file.read_bytes())  # it raises no OSError: those are the system's alone
    with zipfile.ZipFile(stream) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{file}: {damaged} differs from what was written")
    stream.seek(0)
    return torch.load(stream, map_location=device, weights_only=True)


def read_checkpoint(
    file: Path, device: torch.device, recipe: str, seed: int
) -> dict[str, Any] | Exception | None:
    """Its content, or None; or what is wrong with it, so that all processes hear of it."""
    if not file.exists():
        return None
    try:
        content: dict[str, Any] = load_archive(file, device)
        if content["recipe"] == recipe and content["seed"] == seed:
            return content
    except (OSError, MemoryError, torch.OutOfMemoryError) as error:  # of a file that may be whole
        return error
    except Exception:  # what a damaged archive raises has no common base
        return ValueError(f"checkpoint {file} is damaged: remove it, and the training begins anew")
    return ValueError(f"checkpoint {file} belongs to another training: remove it")
