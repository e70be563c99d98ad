"""Event recordings: the three formats, written here byte by byte, and how they become frames."""

import struct
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from compare.data import DataError, DataWarning, load, load_events, locate
from compare.data import events as events_module
from compare.data.arrays import EventArrays
from compare.data.cifar import CIFAR10_CLASSES
from compare.data.events import Binning, frames_of
from compare.data.recordings import from_columns, read_aedat3_file, read_gesture_array

needs_tonic = pytest.mark.skipif(find_spec("tonic") is None, reason="tonic is not installed")
needs_aedat = pytest.mark.skipif(find_spec("aedat") is None, reason="aedat is not installed")

Event = tuple[int, int, int, int]  # x, y, polarity, time in µs


def nmnist_bytes(events: list[Event]) -> bytes:
    """x, y, then one bit of polarity and 23 bits of time, big-endian."""
    return b"".join(bytes([x, y]) + (p << 23 | t).to_bytes(3, "big") for x, y, p, t in events)


def aedat3_bytes(events: list[Event], overflow: int = 0) -> bytes:
    """A header of text, a packet of another kind, and one packet of polarity events."""
    head = b"#!AER-DAT3.1\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    other = struct.pack("<HHIIIIII", 0, 1, 8, 4, 0, 1, 1, 1) + b"\0" * 8
    packed = b"".join(
        struct.pack("<II", x << 17 | y << 2 | p << 1 | 1, t & 0x7FFFFFFF) for x, y, p, t in events
    )
    invalid = struct.pack("<II", 5 << 17, 7)  # its valid bit is 0
    count = len(events) + 1
    packet = struct.pack("<HHIIIIII", 1, 1, 8, 4, overflow, count, count, count - 1)
    return head + other + packet + packed + invalid


def aedat4_bytes(events: list[Event]) -> bytes:
    """One stream of events, uncompressed, its two flatbuffers laid out by hand."""
    description = (
        b'<dv version="2.0"><node name="outInfo" path="/outInfo/">'
        b'<node name="0" path="/outInfo/0/">'
        b'<attr key="compression" type="string">NONE</attr>'
        b'<attr key="typeIdentifier" type="string">EVTS</attr>'
        b'<node name="info" path="/outInfo/0/info/"><attr key="sizeX" type="int">128</attr>'
        b'<attr key="sizeY" type="int">128</attr></node></node></node></dv>'
    )
    # Offset of the root, identifier, table of field offsets (10 bytes, table of 20, fields at 4, 8
    # and 16), then the table: its distance to that, compression, position of the index, string.
    header = struct.pack("<I4s5H2x", 20, b"IOHE", 10, 20, 4, 8, 16)
    header += struct.pack("<iiqI", 12, 0, -1, 4)
    header += struct.pack("<I", len(description)) + description + b"\0"
    # The same for the packet: its one field is a vector of structs of 16 bytes, t, x, y, polarity.
    packet = struct.pack("<I4s3H2xiII", 16, b"EVTS", 6, 8, 4, 8, 4, len(events))
    packet += b"".join(struct.pack("<qhh?3x", t, x, y, bool(p)) for x, y, p, t in events)
    body = struct.pack("<I", len(packet)) + packet
    return (
        b"#!AER-DAT4.0\r\n"
        + struct.pack("<I", len(header))
        + header
        + struct.pack("<II", 0, len(body))
        + body
    )


def write_nmnist(root: Path, train: int = 3, test: int = 1) -> Path:
    """Digit d: two events at (d, 1) of polarity 1 at the start, one at (2, d) of 0 at the end."""
    for part, count in (("Train", train), ("Test", test)):
        for digit in range(10):
            folder = root / "NMNIST" / part / str(digit)
            folder.mkdir(parents=True)
            for index in range(count):
                events = [(digit, 1, 1, 0), (digit, 1, 1, 10 + index), (2, digit, 0, 99_999)]
                (folder / f"{index:05}.bin").write_bytes(nmnist_bytes(events))
    return root


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
    assert load_events("nmnist", tmp_path, 5).fingerprint != first.fingerprint


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
    with pytest.raises(DataError, match="it needs a number of timesteps"):
        load("nmnist", tmp_path)
    with pytest.raises(DataError, match="takes no number of timesteps"):
        load_events("mnist", tmp_path, 5)
    with pytest.raises(DataError, match="nmnist is not in"):
        load_events("nmnist", tmp_path, 5)


def test_frames_too_large_for_memory(tmp_path: Path) -> None:
    write_nmnist(tmp_path)
    with pytest.raises(DataError, match="choose fewer timesteps or a smaller size"):
        load_events("nmnist", tmp_path, 10**6)


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
