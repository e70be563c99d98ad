"""A data set as a network sees it: normalised, as pixels, or bounded to [−1, 1]."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from compare.cases import Representation
from compare.data import Dataset, load, load_events, normalise, pixels
from compare.data.arrays import ArrayImages, Arrays, EventArrays, FolderImages
from compare.data.errors import DataError
from compare.study_tables import Frames


@dataclass(frozen=True, eq=False)
class View:
    """Images of one split in one representation; a `network.fit.Batches`."""

    arrays: Arrays
    representation: Representation
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.arrays)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [B, C, H, W] (events: [B, T, 2, H, W]) and labels int64 [B]."""
        images, labels = self.arrays.batch(indices)
        return represent(images, self.representation, self.mean, self.std), labels


def represent(
    images: Tensor, representation: Representation, mean: tuple[float, ...], std: tuple[float, ...]
) -> Tensor:
    """uint8 images to what the input encoding takes.

    'normalised': (p − mean)/std. 'pixels': p in [0, 1]. 'signed': normalised, then divided by the
    largest magnitude that any pixel can take, so that it lies in [−1, 1] (Lee 2020, §4.1.4).
    'events': counts as they are; 'mean-events': their mean over the frames, [B, 2, H, W].
    """
    if representation == "events":
        return images.to(torch.float32)
    if representation == "mean-events":
        return images.to(torch.float32).mean(1)
    scaled = pixels(images)
    if representation == "pixels":
        return scaled
    scaled = normalise(scaled, mean, std)
    if representation == "normalised":
        return scaled
    return scaled / _bound(mean, std)


def offset_and_scale(
    representation: Representation, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What `represent` takes off pixels in [0, 1], per channel, and what it divides them by."""
    if representation == "pixels":
        return tuple(0.0 for _ in mean), tuple(1.0 for _ in std)
    if representation == "signed":
        return mean, tuple(s * _bound(mean, std) for s in std)
    return mean, std


def _bound(mean: tuple[float, ...], std: tuple[float, ...]) -> float:
    """The largest magnitude that a normalised pixel can have."""
    return max(max(m / s, (1 - m) / s) for m, s in zip(mean, std, strict=True))


def load_dataset(
    name: str,
    directory: Path | None,
    *,
    download: bool,
    validation: int | None,
    train_images: int | None,
    test_images: int | None,
    frames: Frames | None = None,
) -> Dataset:
    """The data set, its training or test part cut to some images where a study asks for it.

    Raises DataError where it asks for more than there are (beside those held out for validation).

    frames: how its recordings are binned, where it holds recordings.
    """
    if frames is None:
        dataset = load(name, directory, download=download, validation=validation)
    else:
        dataset = load_events(
            name,
            directory,
            frames.timesteps,
            size=frames.size,
            window_ms=frames.window_ms,
            download=download,
            validation=validation,
        )
    if train_images is not None:
        dataset = replace(dataset, train=_cut(dataset.train, train_images, "train_images", name))
    if test_images is not None:
        dataset = replace(dataset, test=_cut(dataset.test, test_images, "test_images", name))
    return dataset


def _cut(arrays: Arrays, count: int, setting: str, name: str) -> Arrays:
    """So many of the images, always the same; DataError where there are fewer."""
    if count > len(arrays):
        raise DataError(f"{setting} must be 1 to {len(arrays)} for {name}, got {count}")
    if count == len(arrays):
        return arrays
    chosen = torch.randperm(len(arrays), generator=torch.Generator().manual_seed(0))[:count]
    chosen = chosen.sort().values
    if isinstance(arrays, EventArrays):
        return EventArrays(arrays.frames[chosen], arrays.labels[chosen])
    if isinstance(arrays, FolderImages):
        paths = tuple(arrays.paths[index] for index in chosen.tolist())
        return replace(arrays, paths=paths, labels=arrays.labels[chosen])
    assert isinstance(arrays, ArrayImages)
    return ArrayImages(arrays.images[chosen], arrays.labels[chosen])


def sample(view: View, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """`count` images (all, where there are fewer) drawn without replacement, and their labels."""
    order = torch.randperm(len(view), generator=torch.Generator().manual_seed(seed))
    return view.batch(order[:count])
