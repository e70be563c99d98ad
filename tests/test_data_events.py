"""Event recordings: the three formats, written here byte by byte, and how they become frames."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from compare.data import DataError, DataWarning, load, load_events
from compare.data import events as events_module
from compare.data.arrays import EventArrays
from compare.data.events import Binning, frames_of
from compare.data.recordings import from_columns
from tests.recording_bytes import needs_tonic, nmnist_bytes, write_nmnist


def test_equal_parts_by_hand() -> None:
    # Times 100..199 in 4 parts: (t − 100)·4 // 100 gives parts of 25 µs.
    events = from_columns(
        x=[0, 1, 1, 2, 2], y=[0, 0, 0, 1, 1], polarity=[0, 1, 1, 0, 1],
        time_us=[100, 124, 125, 174, 199],
    )  # fmt: skip
    frames = frames_of(events, (2, 3), Binning(4))
    assert frames.shape == (4, 2, 2, 3)
    assert [tuple(place) for place in np.argwhere(frames)] == [
        (0, 0, 0, 0), (0, 1, 0, 1), (1, 1, 0, 1), (2, 0, 1, 2), (3, 1, 1, 2),
    ]  # fmt: skip
    assert frames.sum() == 5


def test_windows_leave_out_what_comes_later() -> None:
    events = from_columns([0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [50, 1049, 1050, 2050])
    frames = frames_of(events, (1, 1), Binning(2, window_ms=1.0))
    assert frames[:, 0, 0, 0].tolist() == [2, 1]  # 50 and 1049 | 1050 | 2050 is past the second


def test_smaller_size_joins_pixels_and_counts_end_at_255() -> None:
    events = from_columns([0, 1, 2, 3], [0, 1, 2, 3], [1, 1, 1, 1], [0, 0, 0, 0])
    frames = frames_of(events, (4, 4), Binning(1, size=2))
    assert frames[0, 1].tolist() == [[2, 0], [0, 2]]  # pixels 0, 1 → 0 and 2, 3 → 1
    many = from_columns([0] * 300, [0] * 300, [0] * 300, [0] * 300)
    assert frames_of(many, (1, 1), Binning(1))[0, 0, 0, 0] == 255


@pytest.mark.parametrize(
    "make",
    [
        lambda: Binning(0),
        lambda: Binning(1, size=0),
        lambda: Binning(1, window_ms=float("nan")),
        lambda: Binning(1, window_ms=1e300),  # more µs than 64 bits hold
    ],
)
def test_impossible_binnings_are_refused(make: Callable[[], Binning]) -> None:
    with pytest.raises(DataError, match=r"must be at least .*got"):
        make()


@needs_tonic
def test_nmnist_files_to_frames(tmp_path: Path) -> None:
    data = load_events("nmnist", write_nmnist(tmp_path), 5)
    assert data.shape == (2, 34, 34)
    assert (len(data.train), len(data.validation), len(data.test)) == (27, 3, 10)
    assert isinstance(data.test, EventArrays)
    assert data.test.timesteps == 5
    frames, labels = data.test.batch(torch.tensor([7]))
    assert frames.shape == (1, 5, 2, 34, 34)
    assert labels.tolist() == [7]
    assert frames[0, 0, 1, 1, 7] == 2  # row y = 1, column x = 7
    assert frames[0, 4, 0, 7, 2] == 1
    assert frames.sum() == 3


@needs_tonic
def test_frames_are_kept_for_each_binning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_nmnist(tmp_path)
    first = load_events("nmnist", tmp_path, 5)
    load_events("nmnist", tmp_path, 4)
    cache = sorted((tmp_path / "isospike-frames").iterdir())
    assert [path.name.split("-")[1] for path in cache] == ["T4", "T5"]

    def forbidden(*_: object) -> None:
        raise AssertionError("binned again")

    with monkeypatch.context() as patch:
        patch.setattr(events_module, "all_frames", forbidden)
        assert load_events("nmnist", tmp_path, 5).fingerprint == first.fingerprint
    cache[1].write_bytes(cache[1].read_bytes()[:100])  # a damaged file is made anew
    assert load_events("nmnist", tmp_path, 5).fingerprint == first.fingerprint
    (tmp_path / "NMNIST" / "Test" / "0" / "00000.bin").write_bytes(nmnist_bytes([(9, 9, 1, 5)] * 2))
    second = load_events("nmnist", tmp_path, 5).fingerprint
    assert second != first.fingerprint
    (tmp_path / "NMNIST" / "Test" / "0" / "00000.bin").write_bytes(nmnist_bytes([(8, 9, 1, 5)] * 2))
    assert load_events("nmnist", tmp_path, 5).fingerprint != second  # of the same size


@needs_tonic
def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    write_nmnist(tmp_path)
    (tmp_path / "isospike-frames").write_text("a file where the directory should be")
    with pytest.warns(DataWarning, match="frames cannot be kept"):
        data = load_events("nmnist", tmp_path, 5)
    assert len(data.test) == 10


@needs_tonic
@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "a recording without events"),
        (b"1234", "not a multiple of the 5"),
        (nmnist_bytes([(34, 0, 0, 0)]), "x must be 0 to 33, got 34 to 34"),
    ],
)
def test_bad_recordings_are_named(tmp_path: Path, raw: bytes, message: str) -> None:
    write_nmnist(tmp_path)
    (tmp_path / "NMNIST" / "Train" / "3" / "00001.bin").write_bytes(raw)
    with pytest.raises(DataError, match=rf"3/00001\.bin.*{message}"):
        load_events("nmnist", tmp_path, 5)


def test_tonic_absent_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_nmnist(tmp_path)
    monkeypatch.setattr("compare.data.recordings.find_spec", lambda name: None)
    with pytest.raises(DataError, match="event data needs tonic, which is not installed"):
        load_events("nmnist", tmp_path, 5)


def test_images_and_recordings_are_not_confused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"study file says .*, \[events.nmnist\] timesteps"):
        load("nmnist", tmp_path)
    with pytest.raises(DataError, match="takes no number of timesteps"):
        load_events("mnist", tmp_path, 5)
    with pytest.raises(DataError, match="nmnist is not in"):
        load_events("nmnist", tmp_path, 5)


def test_frames_too_large_for_memory(tmp_path: Path) -> None:
    write_nmnist(tmp_path)
    with pytest.raises(DataError, match="choose fewer timesteps or a smaller size"):
        load_events("nmnist", tmp_path, 10**6)
