"""Annotations as their files state them, faults and all, and the boxes that are made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from convatlas.data.boxes.truth import Boxes, boxes_in
from convatlas.errors import UsageError

ROUNDING = 0.05  # pixels: YOLO's fractions have six decimals, COCO's pixels two
LEAST_SIDE = 1e-3  # pixels: float32 keeps no thinner box at the far edge of a large image


@dataclass(frozen=True, eq=False)
class Annotation:
    """The annotation of one image, with its boxes uncut. `shown` says where it is written: a file, or a place in it.

    `corners` float64 (n, 4) count pixels as `Boxes` does. `labels` (n,) are places in the names of the annotations.
    `width` and `height` are those that the file states, or those of the image where it states none. `areas` float64
    (n,) are those that a COCO file states.
    """

    image: str
    shown: str
    corners: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    width: int
    height: int
    areas: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def cut(self) -> np.ndarray:
        """The corners, cut to the image."""
        return _cut(self.corners, self._edges)

    @property
    def inverted(self) -> np.ndarray:
        """Which boxes (n,) have a left edge at or behind their right one, or an upper one below: empty or inverted."""
        return _inverted(self.corners, self._edges)

    @property
    def outside(self) -> np.ndarray:
        """Which other boxes (n,) lie wholly outside their image."""
        return _outside(self.corners, self._edges)

    @property
    def reaching(self) -> np.ndarray:
        """Which boxes (n,) reach over the edge of their image, by more than files round, and keep an area inside it."""
        return _reaching(self.corners, self._edges)

    @property
    def _edges(self) -> np.ndarray:
        return np.array([self.width, self.height, self.width, self.height])


def as_boxes(annotation: Annotation) -> Boxes:
    """Returns the boxes of an annotation, cut to the image, without those that have no area in it."""
    cut = annotation.cut
    keep = _has_area(cut)
    labels, difficult = annotation.labels[keep], annotation.difficult[keep]
    boxes = boxes_in(cut[keep], labels, difficult, width=annotation.width, height=annotation.height)
    return boxes if annotation.areas is None else replace(boxes, areas=annotation.areas[keep])


def notes_of(annotations: Sequence[Annotation]) -> tuple[str, ...]:
    """Returns a note for each kind of change that `as_boxes` makes, with the first place where it is made."""
    kinds = {
        "boxes that reach over the edge of their image, cut to it": _reaching,
        "boxes that lie wholly outside their image, left out": _outside,
        "boxes that are empty or inverted, left out": _inverted,
    }
    counts = np.array([len(each) for each in annotations], np.int64)
    corners = np.concatenate([np.empty((0, 4)), *(each.corners for each in annotations)])
    sizes = [(each.width, each.height, each.width, each.height) for each in annotations]
    edges = np.repeat(np.array(sizes, np.int64).reshape(-1, 4), counts, axis=0)
    notes = []
    for said, which in kinds.items():
        found = np.flatnonzero(which(corners, edges))
        if len(found):
            first = annotations[int(np.searchsorted(counts.cumsum(), found[0], side="right"))]
            notes.append(f"{said}: {len(found):,} (the first in {first.shown})")
    if without := int((counts == 0).sum()):
        notes.append(f"images without a box, all background: {without:,}")
    return tuple(notes)


def _cut(corners: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Returns corners (n, 4), cut to images whose right and lower edges are `edges` (4,) or (n, 4)."""
    cut: np.ndarray = np.clip(corners, 0, edges)
    return cut


def _has_area(corners: np.ndarray) -> np.ndarray:
    """Returns which corners (n, 4) enclose something; numbers that are not finite enclose nothing."""
    with np.errstate(invalid="ignore"):
        sides: np.ndarray = corners[:, 2:] - corners[:, :2]
    which: np.ndarray = (sides >= LEAST_SIDE).all(1) & np.isfinite(corners).all(1)
    return which


def _inverted(corners: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return ~_has_area(corners)


def _outside(corners: np.ndarray, edges: np.ndarray) -> np.ndarray:
    which: np.ndarray = _has_area(corners) & ~_has_area(_cut(corners, edges))
    return which


def _reaching(corners: np.ndarray, edges: np.ndarray) -> np.ndarray:
    cut = _cut(corners, edges)
    which: np.ndarray = _has_area(cut) & (abs(cut - corners) > ROUNDING).any(1)
    return which


def check_count(annotations: Sequence[Annotation], home: str) -> None:
    """Raises `UsageError` where no annotation has a box that training learns: one in the image, and not difficult."""
    if any((~as_boxes(each).difficult).any() for each in annotations):
        return
    boxes = sum(map(len, annotations))
    said = "no box" if not boxes else f"{boxes:,} boxes, which are all difficult, empty or outside"
    raise UsageError(f"{home} has {len(annotations):,} images and {said}; a detector needs boxes to learn")
