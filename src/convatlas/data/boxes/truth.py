"""`Boxes`: the ground truth of one image, and images that have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from torch import Tensor

from convatlas.data.images.protocol import Images, class_labels
from convatlas.errors import UsageError


@dataclass(frozen=True, eq=False)
class Boxes:
    """The ground truth of one image: n boxes, and the width and height of the upright image in pixels.

    `corners` float32 (n, 4) are x1, y1, x2, y2 in pixels of the image: 0 is the left or upper edge of the first pixel,
    and x2 and y2 are the right and lower edge of the last one, so that x2 - x1 is the width. A VOC file counts from 1
    and includes the last pixel; its reader converts. `labels` int64 (n,) are places in the class names. `difficult`
    bool (n,) marks boxes that evaluation ignores: VOC's difficult objects, COCO's crowds. `areas` float64 (n,) are
    those that a COCO file states, in square pixels: of the thing in the box. Without them the area is the box's.
    """

    corners: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    width: int
    height: int
    areas: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def said(self, names: Sequence[str]) -> str:
        """Returns the number of boxes of each class in words.

        >>> boxes_in([[0, 0, 1, 1]] * 3, [1, 0, 1], [0] * 3, width=9, height=9).said(["cat", "dog"])
        '1 cat, 2 dog'
        """
        counts = np.bincount(self.labels, minlength=len(names)).tolist()
        return ", ".join(f"{count} {name}" for name, count in zip(names, counts, strict=True) if count) or "no box"

    def chosen(self, which: np.ndarray) -> Boxes:
        """Returns some of the boxes, by a mask (n,) or by places."""
        areas = None if self.areas is None else self.areas[which]
        return Boxes(self.corners[which], self.labels[which], self.difficult[which], self.width, self.height, areas)


def boxes_in(corners: object, labels: object, difficult: object, *, width: int, height: int) -> Boxes:
    """Returns boxes of sequences or arrays, in the types that `Boxes` has.

    >>> boxes_in([[0, 0, 10, 5]], [2], [False], width=20, height=10).corners.dtype
    dtype('float32')
    """
    return Boxes(
        np.asarray(corners, np.float32).reshape(-1, 4),
        np.asarray(labels, np.int64).reshape(-1),
        np.asarray(difficult, bool).reshape(-1),
        width,
        height,
    )


def has_boxes(images: Images) -> bool:
    """Returns whether images have boxes for labels. A part without images may say no where the others say yes."""
    labels = images.labels
    if labels is None or isinstance(labels, Tensor) or not len(labels):
        return False
    return isinstance(labels[0], Boxes)  # a part has labels of one kind


def box_labels(images: Images, *, needed_by: str = "this") -> Sequence[Boxes]:
    """Returns the boxes of each image. Raises `UsageError`, which names the need, for images without boxes."""
    if has_boxes(images):
        return cast(Sequence[Boxes], images.labels)
    raise UsageError(f"{needed_by} needs the boxes of each image; use data with boxes, such as voc:PATH")


def any_box_counts(images: Images) -> bool:
    """Returns whether evaluation on images with boxes has something to find: a box that is not difficult."""
    return any((~boxes.difficult).any() for boxes in box_labels(images))


def label_counts(images: Images, classes: int) -> list[int]:
    """Returns the number of images, or of boxes, of each class."""
    if not has_boxes(images):
        counts: list[int] = class_labels(images).bincount(minlength=classes).tolist()
        return counts
    labels = np.concatenate([boxes.labels for boxes in box_labels(images)])
    return [int(count) for count in np.bincount(labels, minlength=classes)]
