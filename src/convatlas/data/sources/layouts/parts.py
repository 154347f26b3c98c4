"""A part as a reader hands it over: images and labels, checked where they enter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.errors import UsageError

_LARGEST_LABEL = 2**31


@dataclass(frozen=True)
class Form:
    """The form of every record of a data set: channels, pixels a side, classes, and the records of each part."""

    channels: int
    image_size: int
    class_names: tuple[str, ...]
    train_count: int
    test_count: int

    @property
    def classes(self) -> int:
        return len(self.class_names)


@dataclass(frozen=True)
class Part:
    """Images uint8 (n, C, H, W) and labels int64 (n,).

    `lossy` names the formats that lost some of their detail. `renumbered` says that the files had another order of the
    classes.
    """

    images: np.ndarray
    labels: np.ndarray
    lossy: frozenset[str] = frozenset()
    renumbered: bool = False

    def __len__(self) -> int:
        return len(self.labels)


class IncompleteError(UsageError):
    """A file of a data set is missing: `file` is its name, empty where no one name can be told."""

    def __init__(self, path: Path, reason: str, *, file: str = "") -> None:
        super().__init__(str(unreadable(path, reason)))
        self.file = file


def unreadable(path: Path, reason: str) -> UsageError:
    """Returns the `UsageError` for a file that is not what it should be."""
    return UsageError(f"{path} cannot be used: {reason}; get the file again, or name another folder with --data-dir")


def whole_numbers(path: Path, numbers: Any, *, name: str) -> np.ndarray:
    """Labels as int64. Raises `UsageError` unless they are a list of whole numbers of a size that labels have."""
    if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
        raise unreadable(path, f"its {name} holds something else than whole numbers")
    if not all(abs(number) < _LARGEST_LABEL for number in numbers):
        raise unreadable(path, f"its {name} holds a number too large for a label")
    return np.array(numbers, np.int64)


def checked(path: Path, images: np.ndarray, labels: np.ndarray, *, form: Form) -> Part:
    """Returns the part that a file holds. Raises `UsageError` unless there is one label in range for every image."""
    if len(images) != len(labels):
        raise unreadable(path, f"there are {len(images):,} images and {len(labels):,} labels")
    outside = np.flatnonzero((labels < 0) | (labels >= form.classes))
    if len(outside):
        first = int(outside[0])
        raise unreadable(path, f"label {labels[first]} of image {first} is not one of 0 to {form.classes - 1}")
    return Part(images, labels.astype(np.int64))


def joined(parts: list[Part]) -> Part:
    """Joins the parts of several files in their order."""
    if len(parts) == 1:
        return parts[0]
    images, labels = (np.concatenate([getattr(part, name) for part in parts]) for name in ("images", "labels"))
    lossy = frozenset[str]().union(*(part.lossy for part in parts))
    return Part(images, labels, lossy, any(part.renumbered for part in parts))
