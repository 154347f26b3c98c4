"""What a reader hands over: the images and labels of one part of a data set, checked where they enter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convatlas.errors import UsageError


@dataclass(frozen=True)
class Form:
    """What every record of a data set looks like: channels, pixels a side, classes, and the records of each part."""

    channels: int
    image_size: int
    classes: int
    train_count: int
    test_count: int


@dataclass(frozen=True)
class Part:
    """Images uint8 (n, C, H, W) and labels int64 (n,); `lossy` where the images were compressed as JPEG."""

    images: np.ndarray
    labels: np.ndarray
    lossy: bool = False

    def __len__(self) -> int:
        return len(self.labels)


def unreadable(path: Path, reason: str) -> UsageError:
    """The `UsageError` for a file that is not what it should be."""
    return UsageError(f"{path} cannot be used: {reason}; get the file again, or name another folder with --data-dir")


def reason_of(error: BaseException) -> str:
    """What an exception says, in one short line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


def checked(path: Path, images: np.ndarray, labels: np.ndarray, *, form: Form) -> Part:
    """The part that a file holds. Raises `UsageError` unless there is one label in range for every image."""
    if len(images) != len(labels):
        raise unreadable(path, f"there are {len(images):,} images and {len(labels):,} labels")
    outside = np.flatnonzero((labels < 0) | (labels >= form.classes))
    if len(outside):
        first = int(outside[0])
        raise unreadable(path, f"label {labels[first]} of image {first} is not one of 0 to {form.classes - 1}")
    return Part(images, labels.astype(np.int64))


def joined(parts: list[Part]) -> Part:
    """Several files' parts as one, in their order."""
    if len(parts) == 1:
        return parts[0]
    images, labels = (np.concatenate([getattr(part, name) for part in parts]) for name in ("images", "labels"))
    return Part(images, labels, any(part.lossy for part in parts))
