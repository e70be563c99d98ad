"""What the fuzzing of data sets shares: a directory, loading in one line, damaged bytes."""

import shutil
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

from compare.data import DataError, load
from compare.prepared import View
from tests.stress.conftest import Tally, check_line


def emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def try_to_load(tally: Tally, name: str, directory: Path | None = None, **options: Any) -> None:
    """Look at all of the data set, or hear in one line why it is refused."""
    tally("data sets fuzzed")
    try:
        data = load(name, directory, **options)
        nothing_held_out = options.get("validation") == 0
        assert (len(data.validation) == 0) == nothing_held_out
        for part in (data.train, *(() if nothing_held_out else (data.validation,)), data.test):
            images, labels = View(part, "normalised", data.mean, data.std).batch(
                torch.arange(len(part))
            )
            assert len(images) == len(labels) > 0
            assert images.shape[1:] == data.shape
            assert bool(images.isfinite().all())
            assert 0 <= int(labels.min()) <= int(labels.max()) < len(data.classes)
    except DataError as error:
        check_line(error)
        return
    assert len(data.fingerprint) == 64
    tally("data sets fuzzed, used")


def damaged(data: st.DataObject, raw: bytes) -> bytes:
    """Some bytes with a piece cut out, overwritten or added."""
    at = data.draw(st.integers(0, len(raw)))
    cut = data.draw(st.sampled_from([0, 1, 4, 100, len(raw)]))
    return raw[:at] + data.draw(st.binary(max_size=8)) + raw[at + cut :]
