"""Recordings of DVS-Gesture and CIFAR10-DVS, and the shared part of N-MNIST."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from compare.data import DataError, load_events, locate
from compare.data.cifar import CIFAR10_CLASSES
from compare.data.recordings import read_aedat3_file, read_gesture_array
from tests.recording_bytes import aedat3_bytes, aedat4_bytes, needs_aedat, needs_tonic


def test_gestures_in_the_authors_files(tmp_path: Path) -> None:
    root = tmp_path / "DvsGesture"
    root.mkdir()
    for part, user in (("train", "user01_led"), ("test", "user24_led")):
        (root / f"trials_to_{part}.txt").write_text(f"{user}.aedat\n\n")
        # Gesture 3 from 1000 to 2000 µs, gesture 11 from 3000 to 4000; 2500 belongs to neither.
        (root / f"{user}_labels.csv").write_text(
            "class,startTime_usec,endTime_usec\n3,1000,2000\n11,3000,4000\n"
        )
        events = [(100, 20, 1, 1000), (3, 4, 0, 2500), (5, 6, 0, 3999), (7, 8, 1, 4000)]
        (root / f"{user}.aedat").write_bytes(aedat3_bytes(events))
    assert locate("dvs-gesture", tmp_path).found
    data = load_events("dvs-gesture", tmp_path, 2, validation=1)
    assert data.classes[10] == "other gestures"
    frames, labels = data.test.batch(torch.arange(2))
    assert labels.tolist() == [2, 10]
    assert [tuple(place) for place in frames.nonzero().tolist()] == [
        (0, 0, 1, 20, 100),
        (1, 0, 0, 6, 5),
    ]


def test_aedat3_clock_overflow_and_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    path.write_bytes(aedat3_bytes([(1, 2, 1, 5)], overflow=1))
    assert read_aedat3_file(path).time_us.tolist() == [2**31 + 5]
    for name, raw, message in (
        ("b", aedat3_bytes([(1, 2, 1, 5)])[:-1], "cut off in a packet at"),
        ("c", aedat3_bytes([]) + b"abc", "cut off in a packet header"),
        ("d", b"#!AER-DAT2.0\r\n", "not an AEDAT 3 file"),
        ("e", b"#!AER-DAT3.1\r\n", "holds no polarity events"),
    ):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(DataError, match=message):
            read_aedat3_file(tmp_path / name)


def test_gestures_as_tonic_keeps_them(tmp_path: Path) -> None:
    for part in ("Train", "Test"):
        for label in (0, 10):
            folder = tmp_path / "DVSGesture" / f"ibmGesture{part}" / "user01_led"
            folder.mkdir(parents=True, exist_ok=True)
            rows = np.array([[1, 2, 1, 0], [3, 4, 0, label + 1]], np.float64)  # time in ms
            np.save(folder / f"{label}.npy", rows)
    data = load_events("dvs-gesture", tmp_path, 4, window_ms=1.0, validation=1)
    frames, labels = data.test.batch(torch.arange(2))
    assert labels.tolist() == [0, 10]
    assert frames[0, 1, 0, 4, 3] == 1  # 1 ms after the first
    assert frames[1].sum() == 1  # 11 ms after the first is past four frames of 1 ms
    path = tmp_path / "DVSGesture" / "ibmGestureTest" / "user01_led" / "0.npy"
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(DataError, match=r"0\.npy: not a readable array"):
        load_events("dvs-gesture", tmp_path, 4, validation=1)


@needs_tonic
@needs_aedat
def test_cifar10_dvs_holds_out_a_tenth(tmp_path: Path) -> None:
    for label, name in enumerate(CIFAR10_CLASSES):
        folder = tmp_path / "CIFAR10DVS" / name
        folder.mkdir(parents=True)
        for index in range(10):
            events = [(label, index, 1, 1_000_000), (127, 126, 0, 1_000_999)]
            (folder / f"{name}_{index}.aedat4").write_bytes(aedat4_bytes(events))
    data = load_events("cifar10-dvs", tmp_path, 2)
    assert (len(data.train), len(data.validation), len(data.test)) == (81, 9, 10)
    assert torch.bincount(data.test.labels).tolist() == [1] * 10
    frames, labels = data.test.batch(torch.arange(10))
    assert frames[:, 0, 1].sum((1, 2)).tolist() == [1] * 10
    assert frames[:, 0, 1].amax(1).argmax(1).tolist() == labels.tolist()  # x is the label
    assert frames[:, 1, 0, 126, 127].tolist() == [1] * 10
    assert frames.sum() == 20


@needs_tonic
@needs_aedat
def test_damaged_aedat4_is_named(tmp_path: Path) -> None:
    for name in CIFAR10_CLASSES:
        folder = tmp_path / "CIFAR10DVS" / name
        folder.mkdir(parents=True)
        for index in range(2):
            (folder / f"{index}.aedat4").write_bytes(b"no events at all")
    with pytest.raises(DataError, match=r"\.aedat4: not a readable AEDAT 4 file"):
        load_events("cifar10-dvs", tmp_path, 2)


@needs_tonic
def test_the_shared_part_of_nmnist(tmp_path: Path) -> None:
    archive = Path(__file__).parents[2] / "shared" / "data" / "nmnist-subset.tar.xz"
    if not archive.exists():
        pytest.skip("the shared part of N-MNIST is not beside the repository")
    import tarfile

    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "NMNIST", filter="data")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load_events("nmnist", tmp_path, 10)
    assert (len(data.train), len(data.validation), len(data.test)) == (900, 100, 100)
    files = [len(list((tmp_path / "NMNIST" / "Train" / str(d)).iterdir())) for d in range(10)]
    held_out = torch.bincount(data.validation.labels)
    assert (torch.bincount(data.train.labels) + held_out).tolist() == files
    frames = data.test.batch(torch.arange(100))[0].float()
    events = frames.sum((1, 2, 3, 4))
    assert 3_000 < events.mean() < 6_000  # files of 19 kB on average, 5 bytes an event
    assert (frames.sum((0, 2, 3, 4)) > 0).all()


def test_a_gesture_array_with_a_cut_header_is_named(tmp_path: Path) -> None:
    path = tmp_path / "0.npy"
    np.save(path, np.zeros((5, 4), np.int64))
    raw = path.read_bytes()
    path.write_bytes(raw[:10] + raw[11:])  # the header's opening brace is gone
    with pytest.raises(DataError, match=r"0\.npy: not a readable array"):
        read_gesture_array(path)
