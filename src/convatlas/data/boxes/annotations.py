"""Annotations as their files state them, faults and all, and the boxes that are made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from convatlas.data.boxes.truth import Boxes, boxes_in
from convatlas.errors import UsageError

ROUNDING = 0.05  # pixels: YOLO's fractions have six decimals, COCO's pixels two
LEAST_SIDE = 1e-3  # pixels: float32 keeps no thinner box at the far edge of a large image


@dataclass(frozen=True, eq=False)
class Annotation:
    """The annotation of one image, with its boxes uncut. `shown` says where it is written: a file, or a place in it.

    `corners` float64 (n, 4) count pixels as `Boxes` does. `labels` (n,) are places in the names of the annotations.
    `width` and `height` are those that the file states, or those of the image where it states none.
    """

    image: str
    shown: str
    corners: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def cut(self) -> np.ndarray:
        """The corners, cut to the image."""
        cut: np.ndarray = np.clip(self.corners, 0, [self.width, self.height, self.width, self.height])
        return cut

    @property
    def inverted(self) -> np.ndarray:
        """Which boxes (n,) have a left edge at or behind their right one, or an upper one below: empty or inverted."""
        return ~_has_area(self.corners)

    @property
    def outside(self) -> np.ndarray:
        """Which other boxes (n,) lie wholly outside their image."""
        which: np.ndarray = _has_area(self.corners) & ~_has_area(self.cut)
        return which

    @property
    def reaching(self) -> np.ndarray:
        """Which boxes (n,) reach over the edge of their image, by more than files round, and keep an area inside it."""
        which: np.ndarray = _has_area(self.cut) & (abs(self.cut - self.corners) > ROUNDING).any(1)
        return which


def _has_area(corners: np.ndarray) -> np.ndarray:
    """Returns which corners (n, 4) enclose something; numbers that are not finite enclose nothing."""
    with np.errstate(invalid="ignore"):
        sides: np.ndarray = corners[:, 2:] - corners[:, :2]
    which: np.ndarray = (sides >= LEAST_SIDE).all(1) & np.isfinite(corners).all(1)
    return which


def as_boxes(annotation: Annotation) -> Boxes:
    """Returns the boxes of an annotation, cut to the image, without those that have no area in it."""
    keep = _has_area(annotation.cut)
    return boxes_in(
        annotation.cut[keep],
        annotation.labels[keep],
        annotation.difficult[keep],
        width=annotation.width,
        height=annotation.height,
    )


def notes_of(annotations: Sequence[Annotation]) -> tuple[str, ...]:
    """Returns a note for each kind of change that `as_boxes` makes, with the first place where it is made."""
    kinds: tuple[tuple[str, Callable[[Annotation], np.ndarray]], ...] = (
        ("boxes that reach over the edge of their image, cut to it", lambda each: each.reaching),
        ("boxes that lie wholly outside their image, left out", lambda each: each.outside),
        ("boxes that are empty or inverted, left out", lambda each: each.inverted),
    )
    notes = []
    for said, which in kinds:
        found = [(each.shown, int(which(each).sum())) for each in annotations]
        if count := sum(number for _, number in found):
            first = next(shown for shown, number in found if number)
            notes.append(f"{said}: {count:,} (the first in {first})")
    without = sum(not len(each) for each in annotations)
    if without:
        notes.append(f"images without a box, which train as background: {without:,}")
    return tuple(notes)


def check_count(annotations: Sequence[Annotation], home: str) -> None:
    """Raises `UsageError` where no annotation has a box."""
    if not any(map(len, annotations)):
        raise UsageError(f"{home} has {len(annotations):,} images and no box; a detector needs boxes to learn")
