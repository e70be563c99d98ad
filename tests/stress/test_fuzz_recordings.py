"""Folders of pictures and recordings of events, damaged: used, or refused in one line."""

import shutil
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from compare.data import DataError, load_events
from compare.data.recordings import read_aedat3_file, read_gesture_array, read_nmnist_file
from tests.recording_bytes import aedat3_bytes
from tests.stress.conftest import Tally, check_line, fuzz
from tests.stress.data import damaged, emptied, try_to_load

MODES = {"L": ".png", "RGB": ".png", "RGBA": ".png", "1": ".png", "P": ".gif", "CMYK": ".jpg",
         "I;16": ".png", "F": ".tiff"}  # fmt: skip


def test_folders_of_pictures(folder: Path, tmp_path: Path, tally: Tally) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()

    def picture(path: Path, mode: str, size: tuple[int, int], fill: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, size, fill).save(path)

    @fuzz(40, 500)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        emptied(folder)
        mode = data.draw(st.sampled_from(sorted(MODES)))
        constant = data.draw(st.integers(0, 4)) == 0
        for part in ("train", "test"):
            for kind in range(2):
                for number in range(2):
                    fill = 7 if constant else 90 * kind + 10 * number
                    name = f"{number}{MODES[mode]}"
                    picture(folder / part / f"k{kind}" / name, mode, (6, 5), fill)
        changes = ["none", "size", "text", "cut", "empty class", "other class", "link", "loop",
                   "odd name", "no test", "grey", "huge header", "directory"]  # fmt: skip
        how = data.draw(st.sampled_from(changes))
        first = folder / "train" / "k0" / f"0{MODES[mode]}"
        if how == "size":
            side = data.draw(st.integers(1, 9))
            picture(first, mode, (side, side), 1)
        elif how == "text":
            first.write_bytes(data.draw(st.binary(max_size=20)))
        elif how == "cut":
            first.write_bytes(first.read_bytes()[: data.draw(st.integers(0, 200))])
        elif how == "empty class":
            shutil.rmtree(folder / data.draw(st.sampled_from(["train", "test"])) / "k1")
            (folder / "train" / "k1").mkdir(exist_ok=True)
        elif how == "other class":
            picture(folder / "test" / "k9" / "0.png", "L", (6, 5), 0)
        elif how in ("link", "loop"):
            first.unlink()
            first.symlink_to(first if how == "loop" else outside / "nothing.png")
        elif how == "odd name":
            name = data.draw(st.sampled_from(["\udcff", "<script>", "a\nb", ";rm -rf", "é" * 60]))
            picture(folder / "train" / name / "0.png", "L", (6, 5), 0)
            picture(folder / "test" / name / "0.png", "L", (6, 5), 0)
        elif how == "no test":
            shutil.rmtree(folder / "test")
        elif how == "grey":
            picture(first, "L", (6, 5), 3)
        elif how == "huge header":
            raw = bytearray((folder / "train" / "k1" / f"1{MODES[mode]}").read_bytes())
            raw[16:24] = struct.pack(">II", 2**31 - 1, 2**31 - 1)
            first.write_bytes(bytes(raw))
        elif how == "directory":
            first.unlink()
            first.mkdir()
        try_to_load(tally, f"folder:{folder}", validation=1)
        assert not list(outside.iterdir())

    check()


def test_recordings(folder: Path, tally: Tally) -> None:
    readers = [
        (read_nmnist_file, bytes(range(50))),
        (read_aedat3_file, aedat3_bytes([(1, 2, 1, 3), (4, 5, 0, 6)])),
    ]
    buffer = BytesIO()
    np.save(buffer, np.zeros((5, 4), np.int64))
    readers.append((read_gesture_array, buffer.getvalue()))

    @fuzz(60, 1000)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        tally("data sets fuzzed")
        reader, raw = data.draw(st.sampled_from(readers))
        path = emptied(folder) / "0.npy"
        path.write_bytes(damaged(data, raw))
        read_aedat3_file.cache_clear()
        try:
            events = reader(path)
        except DataError as error:
            check_line(error)
            return
        tally("data sets fuzzed, used")
        assert len({len(column) for column in events}) == 1

    check()


def test_event_data_sets(folder: Path, tally: Tally) -> None:
    pytest.importorskip("tonic")
    good = b"".join(bytes([9, 9, 0, 1, time]) for time in range(0, 200, 20))

    @fuzz(15, 200)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        tally("data sets fuzzed")
        emptied(folder)
        for part in ("Train", "Test"):
            for digit in range(10):
                path = folder / part / str(digit) / "0.bin"
                path.parent.mkdir(parents=True)
                path.write_bytes(good)
                (path.parent / "1.bin").write_bytes(good)
        victim = folder / "Train" / str(data.draw(st.integers(0, 9))) / "0.bin"
        victim.write_bytes(damaged(data, good))
        numbers = st.sampled_from([-1, 0, 1, 3, 34, 10**9])
        try:
            found = load_events(
                "nmnist", folder, data.draw(numbers), size=data.draw(st.none() | numbers),
                window_ms=data.draw(st.sampled_from([None, 0.0, 1e-9, 1.0, 1e300, float("nan")])),
                validation=data.draw(st.sampled_from([None, 1, 0, 10**6])),
            )  # fmt: skip
        except DataError as error:
            check_line(error)
            return
        tally("data sets fuzzed, used")
        assert found.train.labels.max() < 10

    check()
