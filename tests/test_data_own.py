"""The user's own data, Imagenette and ImageNet: what is read, and what is refused in one line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from compare.data import DataError, DataWarning, load
from compare.data.arrays import FolderImages
from compare.data.folders import IMAGENETTE, other_numbers
from compare.prepared import load_dataset


def picture(path: Path, colour: tuple[int, int, int] | int, size: tuple[int, int] = (6, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, 6×4 pixels, 5 + 2 pictures each."""
    for part, count in (("train", 5), ("test", 2)):
        for label, kind in enumerate(("cat", "dog")):
            for index in range(count):
                picture(tmp_path / part / kind / f"{index}.png", (100 * label, index, 7))
    return tmp_path


def test_no_image_needs_to_be_held_out(folder: Path) -> None:
    data = load(f"folder:{folder}", validation=0)
    assert (len(data.train), len(data.validation), len(data.test)) == (10, 0, 4)
    assert len(data.fingerprint) == 64
    assert data.fingerprint != load(f"folder:{folder}", validation=2).fingerprint


def test_folder_is_read_by_class_and_name(folder: Path) -> None:
    (folder / "train" / "cat" / ".DS_Store").write_bytes(b"left out")
    data = load(f"folder:{folder}", validation=2)
    assert data.classes == ("cat", "dog")
    assert data.shape == (3, 4, 6)
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 2, 4)
    assert data.official is None
    images, labels = data.test.batch(torch.tensor([3]))
    assert images[0, :, 0, 0].tolist() == [100, 1, 7]
    assert labels.tolist() == [1]
    assert torch.bincount(data.validation.labels).tolist() == [1, 1]
    assert data.mean[2] == pytest.approx(7 / 255)
    assert data.std[2] == 1.0  # blue never varies: shifted, not scaled


def test_grey_pictures_have_one_channel(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for label in range(2):
            for index in range(3):
                picture(tmp_path / part / f"kind{label}" / f"{index}.png", 50 * label + index)
    assert load(f"folder:{tmp_path}").shape == (1, 4, 6)
    picture(tmp_path / "train" / "kind0" / "9.png", (1, 2, 3))
    assert load(f"folder:{tmp_path}").shape == (3, 4, 6)


def test_grey_of_16_bits_is_refused_and_never_saturated(folder: Path) -> None:
    Image.fromarray(np.full((4, 6), 60000, np.uint16)).save(folder / "train" / "dog" / "1.png")
    with pytest.raises(DataError, match=r"dog/1\.png: pictures must have 8 bits .*, got mode I;16"):
        load(f"folder:{folder}")


def test_mixed_sizes_name_the_file(folder: Path) -> None:
    picture(folder / "train" / "dog" / "odd.png", (0, 0, 0), size=(5, 5))
    with pytest.raises(DataError, match=r"dog/odd\.png: 5×5 pixels, but .* have 6×4"):
        load(f"folder:{folder}")


def test_unreadable_file_is_named(folder: Path) -> None:
    (folder / "test" / "dog" / "notes.txt").write_text("no picture")
    with pytest.raises(DataError, match=r"notes\.txt: not a readable picture"):
        load(f"folder:{folder}")


def test_cut_off_picture_is_named(folder: Path) -> None:
    path = folder / "train" / "cat" / "0.png"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match=r"cat/0\.png: not a readable picture"):
        load(f"folder:{folder}")


def test_wrong_trees_are_refused(folder: Path) -> None:
    (folder / "test" / "eel").mkdir()
    with pytest.raises(DataError, match="its classes differ from those of train: eel"):
        load(f"folder:{folder}")
    (folder / "train" / "eel").mkdir()
    with pytest.raises(DataError, match=r"train/eel: a class without a picture"):
        load(f"folder:{folder}")
    with pytest.raises(DataError, match="nowhere does not exist; to get it: one directory"):
        load(f"folder:{folder / 'nowhere'}")
    with pytest.raises(DataError, match="write folder:PATH"):
        load("folder:")


def arrays(**change: np.ndarray) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "x_train": generator.integers(0, 256, (12, 8, 9), np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": generator.integers(0, 256, (6, 8, 9), np.uint8),
        "y_test": np.arange(6) % 3,
        **change,
    }


def saved(path: Path, contents: dict[str, np.ndarray]) -> str:
    np.savez(path, **contents)
    return f"npz:{path}"


def test_npz_is_read(tmp_path: Path) -> None:
    contents = arrays()
    data = load(saved(tmp_path / "own.npz", contents), validation=3)
    assert data.shape == (1, 8, 9)
    assert data.classes == ("0", "1", "2")
    assert (len(data.train), len(data.validation), len(data.test)) == (9, 3, 6)
    images, labels = data.test.batch(torch.arange(6))
    assert np.array_equal(images[:, 0].numpy(), contents["x_test"])
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_npz_channels_may_come_last(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (12, 8, 9, 3), np.uint8)
    data = load(saved(tmp_path / "own.npz", arrays(x_train=x, x_test=x[:6])))
    assert data.shape == (3, 8, 9)
    image = data.test.batch(torch.tensor([2]))[0][0]
    assert image[1, 4, 5] == x[2, 4, 5, 1]


def test_npz_fractions_are_rounded_to_bytes_and_said(tmp_path: Path) -> None:
    x = np.full((12, 8, 9), 0.5)
    x[0] = 0.25
    name = saved(tmp_path / "own.npz", arrays(x_train=x, x_test=x[:6]))
    with pytest.warns(DataWarning, match="rounded to 8 bits"):
        data = load(name)
    images = data.test.batch(torch.tensor([0, 1]))[0]
    assert images[:, 0, 0, 0].tolist() == [64, 128]  # 0.25 · 255 = 63.75, 0.5 · 255 = 127.5 → even


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": np.full((12, 8, 9), np.nan)}, "must be finite"),
        ({"x_train": np.full((12, 8, 9), 1.5)}, "must be 0 to 1, got 1.5 to 1.5"),
        ({"x_train": np.full((12, 8, 9), 300)}, "must be 0 to 255, got 300"),
        ({"x_train": np.full((12, 8, 9), "a")}, "pixels must be numbers"),
        ({"x_train": np.zeros((12, 8), np.uint8)}, r"expected images \[N, H, W\]"),
        ({"x_train": np.zeros((12, 3, 9, 3), np.uint8)}, r"got \(12, 3, 9, 3\)"),
        ({"x_train": np.zeros((12, 0, 9), np.uint8)}, "without pixels"),
        ({"x_train": np.zeros((11, 8, 9), np.uint8)}, "label for each of the images"),
        ({"x_train": np.zeros((), np.uint8)}, "label for each of the images"),
        ({"x_train": np.zeros((12, 7, 9), np.uint8)}, "images of different shapes"),
        ({"x_train": np.full((12, 8, 9), 9, np.uint8)}, "one constant"),
        ({"y_train": np.arange(12) % 3 + 0.5}, "whole-number label"),
        ({"y_train": np.arange(12) % 3 - 1}, "must not be negative, got -1"),
        ({"y_train": np.arange(12) % 3 * 2}, "got 3 of 5"),
        ({"y_train": np.zeros(12, int)}, "at least 2; got 1 of 1"),
        ({"y_test": np.full(6, 7)}, "y_test must be 0 to 2, got 7"),
        ({"y_train": np.full(12, 10**9)}, "must be below 100000"),
    ],
)
def test_npz_with_bad_contents(tmp_path: Path, change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(saved(tmp_path / "own.npz", arrays(**change)))
    assert "\n" not in str(caught.value)


def test_npz_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"not an \.npz file of plain arrays"):
        load(f"npz:{path}")
    np.savez(path, x_train=np.zeros(3))
    with pytest.raises(DataError, match="lacks y_train, x_test, y_test"):
        load(f"npz:{path}")
    np.savez(path, **arrays(x_train=np.array([{}] * 12)))
    with pytest.raises(DataError, match=r"not an \.npz file of plain arrays"):
        load(f"npz:{path}")
    with pytest.raises(DataError, match=r"^npz:.*absent\.npz: /.*absent\.npz does not exist; to "):
        load(f"npz:{tmp_path / 'absent.npz'}")


def write_wordnet_tree(root: Path, wnids: tuple[str, ...], train: int, test: int) -> Path:
    for part, count in (("train", train), ("val", test)):
        for label, wnid in enumerate(wnids):
            for index in range(count):
                path = root / part / wnid / f"{wnid}_{index}.JPEG"
                picture(path, (20 * label, 10 * index, 200), size=(90, 60 + index))
    return root


@pytest.mark.parametrize(("name", "size"), [("imagenette", 128), ("imagenette-64", 64)])
def test_imagenette_is_resized_into_memory(tmp_path: Path, name: str, size: int) -> None:
    write_wordnet_tree(tmp_path / "imagenette2-160", tuple(sorted(IMAGENETTE)), train=2, test=1)
    with pytest.warns(
        DataWarning, match=r"Imagenette: 20 \+ 10 pictures, the official .*9,469 \+ "
    ):
        data = load(name, tmp_path, validation=10)
    assert data.note.startswith("Imagenette: 20 + 10 pictures")
    assert data.shape == (3, size, size)
    assert data.classes[:2] == ("tench", "English springer")
    assert (len(data.train), len(data.validation), len(data.test)) == (10, 10, 10)
    image = data.test.batch(torch.tensor([4]))[0][0]
    assert image[:, size // 2, size // 2].tolist() == pytest.approx([80, 0, 200], abs=3)  # JPEG


def test_imagenette_refuses_other_classes(tmp_path: Path) -> None:
    write_wordnet_tree(tmp_path, ("n1", "n2"), train=2, test=1)
    with pytest.raises(DataError, match="expected the 10 classes of Imagenette"):
        load("imagenette", tmp_path)


@pytest.mark.filterwarnings("ignore:ImageNet. 1[23] . 3 pictures:compare.data.DataWarning")
def test_imagenet_stays_on_disk(tmp_path: Path) -> None:
    root = write_wordnet_tree(tmp_path / "imagenet", ("n01", "n02", "n03"), train=4, test=1)
    data = load("imagenet", tmp_path, validation=3)
    assert isinstance(data.train, FolderImages)
    assert data.shape == (3, 224, 224)
    assert data.mean == (0.485, 0.456, 0.406)
    images, labels = data.test.batch(torch.tensor([2, 0]))
    assert images.shape == (2, 3, 224, 224)
    assert labels.tolist() == [2, 0]
    assert images[0, :, 100, 100].tolist() == pytest.approx([40, 0, 200], abs=3)
    cut = load_dataset(
        "imagenet", tmp_path, download=False, validation=3, train_images=5, test_images=2
    )
    assert (len(cut.train), len(cut.test)) == (5, 2)
    assert cut.train.batch(torch.arange(5))[0].shape == (5, 3, 224, 224)
    before = data.fingerprint
    assert load("imagenet", tmp_path, validation=3).fingerprint == before
    (root / "train" / "n01" / "extra.JPEG").write_bytes(b"x")
    assert load("imagenet", tmp_path, validation=3).fingerprint != before


def test_the_official_numbers_need_no_note() -> None:
    assert other_numbers("ImageNet", [1_281_167, 50_000], (1_281_167, 50_000)) == ""


def test_pixels_of_one_bit_are_black_and_white(tmp_path: Path) -> None:
    x = np.arange(2 * 36).reshape(2, 6, 6) % 3 == 0
    path = tmp_path / "a.npz"
    np.savez(path, x_train=x, y_train=[0, 1], x_test=x, y_test=[0, 1])
    images, _ = load(f"npz:{path}", validation=0).test.batch(torch.arange(2))
    assert torch.equal(images[:, 0] == 255, torch.from_numpy(x))
