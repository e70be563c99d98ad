"""Files of any content: each data set is read, whole and in range, or refused in one line."""

import gzip
import os
import pickle
import subprocess
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from compare.data import DataError
from compare.data.cifar import CIFAR10_MD5, unpickle
from compare.data.idx import FILES, parse
from tests.stress.conftest import Tally, check_line, fuzz, mostly
from tests.stress.data import damaged, emptied, try_to_load
from tests.test_data_official import idx, write_cifar10, write_idx

DTYPES = ["u1", "i1", "i8", "u8", "f2", "f4", "f8", "c8", "b1", "U1", "O", "M8[s]", "S2"]
FILLS = [0, 1, 255, 256, -1, 2**31, 2**63 - 1, 0.5, float("nan"), float("inf"), "x", None]


def array(data: st.DataObject, sides: int) -> np.ndarray:
    """Any array: usual pixels most often, else of odd type, shape and content."""
    shape = data.draw(st.lists(st.sampled_from([0, 1, 3, 5, 6, 12]), min_size=0, max_size=sides))
    kind = data.draw(st.sampled_from(DTYPES))
    fill = data.draw(st.sampled_from(FILLS))
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.full(shape, fill, dtype=kind)
    except (ValueError, TypeError, OverflowError):
        return np.zeros(shape, np.uint8)


def test_npz(folder: Path, tally: Tally) -> None:
    random = np.random.default_rng(0)
    good = {
        "x_train": random.integers(0, 256, (12, 6, 5), np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": random.integers(0, 256, (6, 6, 5), np.uint8),
        "y_test": np.arange(6) % 3,
    }

    @fuzz(120, 1500)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        arrays: dict[str, Any] = dict(good)
        for name in data.draw(st.lists(st.sampled_from(sorted(good)), max_size=2, unique=True)):
            how = data.draw(st.sampled_from(["any", "element", "gone"]))
            if how == "gone":
                del arrays[name]
            elif how == "any":
                arrays[name] = array(data, 4)
            else:
                arrays[name] = arrays[name].astype(data.draw(st.sampled_from(["f4", "i8"])))
                fills = FILLS[:6] if arrays[name].dtype == "i8" else FILLS[:10]
                arrays[name].flat[-1] = data.draw(st.sampled_from(fills))
        buffer = BytesIO()
        np.savez(buffer, allow_pickle=True, **arrays)
        raw = buffer.getvalue()
        if data.draw(st.integers(0, 3)) == 0:
            raw = damaged(data, raw)
        path = emptied(folder) / "own.npz"
        path.write_bytes(raw)
        validation = data.draw(mostly([None, 0, 1], [11, 12, 10**9]))
        try_to_load(tally, f"npz:{path}", validation=validation)

    check()


def test_idx(folder: Path, tally: Tally) -> None:
    sizes = st.sampled_from([0, 1, 5, 10, 2**31, 2**32 - 1])

    @fuzz(60, 800)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        write_idx(emptied(folder))
        for name in data.draw(st.lists(st.sampled_from(FILES), max_size=2, unique=True)):
            path = next(folder.rglob(name))
            how = data.draw(st.sampled_from(["damage", "header", "labels", "packed"]))
            if how == "damage":
                path.write_bytes(damaged(data, path.read_bytes()))
            elif how == "header":
                shape = data.draw(st.lists(sizes, max_size=5))
                head = bytes([0, 0, data.draw(st.sampled_from([8, 9, 13])), len(shape)])
                sides = b"".join(side.to_bytes(4, "big") for side in shape)
                path.write_bytes(head + sides + data.draw(st.binary(max_size=30)))
            elif how == "labels":
                path.write_bytes(idx(np.full(20, data.draw(st.integers(0, 255)))))
            else:
                packed = gzip.compress(path.read_bytes())
                path.unlink()
                path.with_name(f"{name}.gz").write_bytes(damaged(data, packed))
        try_to_load(tally, "mnist", folder)

    check()


def test_idx_arrays(tally: Tally) -> None:
    @fuzz(60, 1000)
    @given(st.binary(max_size=40).map(lambda raw: b"\0\0\x08" + raw) | st.binary(max_size=20))
    def check(raw: bytes) -> None:
        tally("data sets fuzzed")
        try:
            parse(raw, "train-images-idx3-ubyte")
            tally("data sets fuzzed, used")
        except DataError as error:
            check_line(error)

    check()


PICKLED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
    | st.binary(max_size=4) | st.just(b"data") | st.just("labels"),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([b"data", b"labels", "data", "labels", 1]), inner, max_size=3)
    | st.tuples(inner),
    max_leaves=5,
)  # fmt: skip


class Runs:
    """Whatever unpickles this calls a function that it names."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def ran(evidence: str) -> None:
    """What no file may ever call."""
    Path(evidence).write_text("ran")


def test_cifar(folder: Path, tmp_path: Path, tally: Tally) -> None:
    evidence = tmp_path / "evidence"
    calls = [
        (ran, str(evidence)), (os.system, f"touch {evidence}"), (eval, "1"), (print, "x"),
        (subprocess.call, ["touch", str(evidence)]), (getattr, "x", "upper"),
        (bytearray, 10), (np.load, "x"), (np.dtype, "O"), (pickle.loads, b"N."),
    ]  # fmt: skip
    rows = np.zeros((4, 3072), np.uint8)
    arrays = [
        rows, rows[:, :-1], rows.astype("f4"), rows[:0], rows.reshape(4, 3, 32, 32), rows[0],
        np.array([None, 1]), np.zeros((), np.uint8),
    ]  # fmt: skip

    @fuzz(100, 1500)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        tally("data sets fuzzed")
        function, *arguments = data.draw(st.sampled_from(calls))
        content = data.draw(
            st.one_of(
                PICKLED,
                st.just(Runs(function, *arguments)),
                st.fixed_dictionaries(
                    {
                        "data": st.sampled_from(arrays) | st.just(Runs(function, *arguments)),
                        "labels": st.lists(st.integers(-1, 11) | st.booleans(), max_size=5),
                    }
                ),
            )
        )
        raw = pickle.dumps(content, protocol=data.draw(st.integers(0, 5)))
        if data.draw(st.booleans()):
            raw = damaged(data, raw)
        try:
            unpickle(raw, "data_batch_1")
            tally("data sets fuzzed, used")
        except DataError as error:
            check_line(error)
        assert not evidence.exists()

    check()

    @fuzz(10, 150)
    @given(st.data())
    def files(data: st.DataObject) -> None:
        write_cifar10(emptied(folder) / "cifar-10-batches-py", per_batch=4)
        path = next(folder.rglob(data.draw(st.sampled_from(sorted(CIFAR10_MD5)))))
        path.write_bytes(damaged(data, path.read_bytes()))
        try_to_load(tally, "cifar10", folder)
        assert not evidence.exists()

    files()
