"""What a data set is: its spec, its splits, the hash that says which images each holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

SPLIT_SEED = 42  # one seed for every study: runs differ in their training, never in their data


@dataclass(frozen=True)
class Split:
    """Images (N, C, H, W) as uint8, labels (N,) as int64, and each image's place (N,) in the source."""

    images: Tensor
    labels: Tensor
    index: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: str) -> Split:
        """The same split with images and labels on a device."""
        return Split(self.images.to(device), self.labels.to(device), self.index)


@dataclass(frozen=True)
class Splits:
    """What reading a data set gives; `notes` say what is not as it was published, each in a line."""

    train: Split
    validation: Split
    test: Split
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataSet:
    """A data set in memory: training, validation and test images, and the hash of who is where.

    `notes` say what is not as it was published, such as fewer records; they go into every run.
    """

    spec: Spec
    train: Split
    validation: Split
    test: Split
    notes: tuple[str, ...] = ()

    @property
    def split_hash(self) -> str:
        """A short sha256 over the images' places and labels in each split: equal hashes, equal splits."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            digest.update(len(split).to_bytes(8, "little"))
            digest.update(split.index.numpy().tobytes())
            digest.update(split.labels.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def images_hash(self) -> str:
        """A short sha256 over all pixels: it tells a compressed copy from the original, which have one split hash."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            digest.update(split.images.cpu().numpy().data)
        return digest.hexdigest()[:16]

    def to(self, device: str) -> DataSet:
        """The same data set with images and labels on a device."""
        train, validation, test = (split.to(device) for split in (self.train, self.validation, self.test))
        return DataSet(self.spec, train, validation, test, self.notes)


@dataclass(frozen=True)
class Spec:
    """A data set's description. `read` gives the splits from a folder (None: the default place).

    `mirror` says whether an image mirrored left to right keeps its label.
    """

    name: str
    title: str
    source: str
    class_names: tuple[str, ...]
    channels: int
    image_size: int
    mirror: bool
    default_recipe: str | None  # None: the one that the architecture was published with
    read: Callable[[Path | None], Splits]
    split_seed: int | None = SPLIT_SEED  # None: the source brings its split

    def load(self, folder: Path | None = None) -> DataSet:
        """Reads and splits the data set."""
        splits = self.read(folder)
        return DataSet(self, splits.train, splits.validation, splits.test, splits.notes)


def take(images: Tensor, labels: Tensor, index: Tensor) -> Split:
    """The split that holds the images at `index`."""
    return Split(images[index].contiguous(), labels[index].to(torch.int64), index.to(torch.int64))
