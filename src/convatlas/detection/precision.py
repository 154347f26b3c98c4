"""COCO's measures of detectors: average precision and recall, computed by faster-coco-eval.

Lin et al. 2014, https://arxiv.org/abs/1405.0312, and https://cocodataset.org/#detection-eval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from convatlas.data.boxes.truth import Boxes
from convatlas.errors import UsageError

PACKAGE = "faster_coco_eval"
NUMBERS = (  # in COCO's order; overlaps from 0.5 to 0.95 where none is named, areas by 32^2 and 96^2 pixels
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)


@dataclass(frozen=True, eq=False)
class FoundBoxes:
    """The boxes that a network finds in one image, the best first: corners (n, 4), scores (n,) and classes (n,).

    Corners x1, y1, x2, y2 are in pixels of the image.
    """

    corners: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def above(self, score: float) -> FoundBoxes:
        """Returns the boxes of at least this score."""
        which = self.scores >= score
        return FoundBoxes(self.corners[which], self.scores[which], self.classes[which])


@dataclass(frozen=True, eq=False)
class PrecisionScores:
    """The measures of found boxes on images whose true boxes are known.

    `numbers` are COCO's twelve by name, None where there is no true box of an area. `class_ap` and `class_ap50` are of
    each class, None for a class without true boxes, of which `class_boxes` counts those that are not ignored. `curves`
    (classes, 101) is the precision at an overlap of 0.5 by recall, from 0 to 1; NaN for a class without boxes.
    """

    images: int
    numbers: Mapping[str, float | None]
    class_names: tuple[str, ...]
    class_boxes: tuple[int, ...]
    class_ap: tuple[float | None, ...]
    class_ap50: tuple[float | None, ...]
    curves: np.ndarray

    @property
    def ap(self) -> float:
        """The average precision, the score of detectors; 0 where there is no true box."""
        return self.numbers["ap"] or 0.0

    @property
    def ap50(self) -> float:
        """The average precision at an overlap of 0.5; 0 where there is no true box."""
        return self.numbers["ap50"] or 0.0

    def results(self, part: str) -> dict[str, float | None]:
        """Returns the numbers for a run's record: `test_ap`, `test_ap50` and so on."""
        return {f"{part}_{name}": value for name, value in self.numbers.items()}


def require_package() -> None:
    """Raises `UsageError` where faster-coco-eval is not installed."""
    if find_spec(PACKAGE) is None:
        raise UsageError(
            "average precision needs faster-coco-eval, which is not installed; pip install 'convatlas[detect]'"
        )


def precision_scores(
    found: Sequence[FoundBoxes], truth: Sequence[Boxes], *, class_names: Sequence[str]
) -> PrecisionScores:
    """Returns the measures of the boxes found in each image.

    Difficult boxes count as COCO's crowds: to find them is neither right nor wrong. Raises `UsageError` where
    faster-coco-eval is not installed.
    """
    require_package()
    from faster_coco_eval import COCO, COCOeval_faster

    wanted = COCO(coco_truth(truth, class_names=class_names))
    given = wanted.loadRes(list(coco_results(found)))
    evaluation = COCOeval_faster(wanted, given, "bbox", print_function=_silent)
    evaluation.run()
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]  # of all areas and 100 boxes: (T, R, classes)
    known = precision[0, 0] > -1
    boxes = [int((each.labels[~each.difficult] == label).sum()) for label in range(len(class_names)) for each in truth]
    return PrecisionScores(
        images=len(truth),
        numbers={name: _number(value) for name, value in zip(NUMBERS, evaluation.stats, strict=False)},
        class_names=tuple(class_names),
        class_boxes=tuple(np.reshape(boxes, (len(class_names), -1)).sum(1).tolist()),
        class_ap=tuple(_number(value) for value in precision.mean((0, 1))),
        class_ap50=tuple(_number(value) for value in precision[0].mean(0)),
        curves=np.where(known, precision[0], np.nan).T.astype(np.float32),
    )


def coco_truth(truth: Sequence[Boxes], *, class_names: Sequence[str]) -> dict[str, Any]:
    """Returns true boxes in the form of a COCO file; images and classes are numbered from 1."""
    annotations = [
        {"image_id": image, "category_id": int(label) + 1, "bbox": box, "area": area, "iscrowd": int(crowd)}
        for image, each in enumerate(truth, 1)
        for box, label, crowd, area in zip(_sides(each.corners), each.labels, each.difficult, _areas(each), strict=True)
    ]
    return {
        "info": {},
        "images": [{"id": image, "width": each.width, "height": each.height} for image, each in enumerate(truth, 1)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(class_names, 1)],
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations, 1)],
    }


def coco_results(found: Sequence[FoundBoxes]) -> Iterator[dict[str, Any]]:
    """Yields found boxes in the form of COCO's results; images and classes are numbered from 1."""
    for image, each in enumerate(found, 1):
        for box, score, label in zip(_sides(each.corners), each.scores.tolist(), each.classes.tolist(), strict=True):
            yield {"image_id": image, "category_id": label + 1, "bbox": box, "score": score}


def _areas(boxes: Boxes) -> list[float]:
    """Returns the area of each box: the one that its file states, or its own."""
    own = [width * height for _, _, width, height in _sides(boxes.corners)]
    return own if boxes.areas is None else boxes.areas.tolist()


def _sides(corners: np.ndarray) -> list[list[float]]:
    """Returns corners (n, 4) as left edge, upper edge, width and height."""
    corners = corners.astype(np.float64).reshape(-1, 4)
    sides: list[list[float]] = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), axis=1).tolist()
    return sides


def _number(value: float) -> float | None:
    """Returns a number of COCO's, which has -1 where there is nothing to measure."""
    return float(value) if value > -1 else None


def _silent(*_: object) -> None:
    """Takes the lines that the package would print."""
