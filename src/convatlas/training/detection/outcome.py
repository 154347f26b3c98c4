"""The end of a detector's training: its boxes beside the true ones, their measures, pictures of its worst misses."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from convatlas.data import Images
from convatlas.data.boxes.batches import BoxBatches, BoxEvaluationBatches
from convatlas.data.boxes.placement import Placement
from convatlas.data.boxes.truth import Boxes, box_labels
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.preprocessing import Preprocessing
from convatlas.data.subset import at
from convatlas.detection.misses import compared
from convatlas.detection.pictures import Outline, outlines, with_outlines
from convatlas.detection.precision import FoundBoxes, PrecisionScores, precision_scores
from convatlas.training.objective import Outcome

if TYPE_CHECKING:
    from convatlas.training.plan import Plan

COUNT = 12
SURE = 0.3  # the score from which a box is drawn, and from which a wrong one is a fault
MISSED, WRONG, RIGHT = "#D55E00", "#CC79A7", "#009E73"


class Batching(Protocol):
    """An objective that makes batches of images with boxes."""

    def batches(self, plan: Plan, epoch: int) -> BoxBatches: ...


def detection_outcome(plan: Plan, found: Mapping[str, Sequence[FoundBoxes]], objective: Batching) -> Outcome:
    """Returns the outcome of a training from the boxes found in its parts, `val` and `test`."""
    parts = {"val": plan.data.validation, "test": plan.data.test}
    arrays: dict[str, np.ndarray] = {}
    results: dict[str, Any] = {}
    for name, boxes in found.items():
        truth = box_labels(parts[name])
        scores = precision_scores(boxes, truth, class_names=plan.data.spec.class_names)
        arrays |= box_arrays(name, boxes, truth, scores)
        arrays[f"{name}_index"] = parts[name].index.cpu().numpy()
        results |= {key: value for key, value in scores.results(name).items() if value is not None}
    misses = worst_misses(
        plan.data.test, found["test"], preprocessing=plan.preprocessing, names=plan.data.spec.class_names
    )
    return Outcome(arrays, {**augmented(plan, objective), **misses}, results)


def box_arrays(
    part: str, found: Sequence[FoundBoxes], truth: Sequence[Boxes], scores: PrecisionScores
) -> dict[str, np.ndarray]:
    """Returns the arrays of `predictions.npz` for a part: found and true boxes of all images in rows, their numbers.

    `class_ap`, `class_ap50` and `curves` are the measures of each class, NaN where there are none.
    """
    return {
        f"{part}_counts": np.array([len(each) for each in found]),
        f"{part}_corners": np.concatenate([each.corners for each in found]),
        f"{part}_scores": np.concatenate([each.scores for each in found]),
        f"{part}_classes": np.concatenate([each.classes for each in found]),
        f"{part}_true_counts": np.array([len(each) for each in truth]),
        f"{part}_true_corners": np.concatenate([each.corners for each in truth]),
        f"{part}_true_classes": np.concatenate([each.labels for each in truth]),
        f"{part}_true_difficult": np.concatenate([each.difficult for each in truth]),
        f"{part}_class_boxes": np.array(scores.class_boxes),
        f"{part}_class_ap": np.array(scores.class_ap, float),
        f"{part}_class_ap50": np.array(scores.class_ap50, float),
        f"{part}_curves": scores.curves,
    }


def worst_misses(
    images: Images, found: Sequence[FoundBoxes], *, preprocessing: Preprocessing, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Returns pictures of the images with the most faults: `misses` (k, H, W, 3), and how many are missed and wrong.

    `misses_size` (k, 2) is the height and width that the image has in its square, `misses_name` its name in the source.

    Right boxes are green, wrong ones pink, both with class and score; true boxes that are missed are dashed and orange.
    """
    truth = box_labels(images)
    sure = [each.above(SURE) for each in found]
    faults = [compared(*pair) for pair in zip(sure, truth, strict=True)]
    order = sorted(range(len(faults)), key=lambda place: -faults[place].faults)[:COUNT]
    worst = [place for place in order if faults[place].faults]
    pictures, sizes = [], []
    for place, (pixels, placed) in zip(worst, _squares(images, worst, preprocessing), strict=True):
        own, fault = sure[place], faults[place]
        colours = [RIGHT if right else WRONG for right in fault.right]
        drawn = outlines(placed.forward(own.corners), own.classes, names=names, scores=own.scores)
        drawn = [Outline(each.corners, colour, each.text) for each, colour in zip(drawn, colours, strict=True)]
        lacking = truth[place].chosen(fault.missed)
        drawn += [
            Outline(each.corners, MISSED, each.text, dashed=True)
            for each in outlines(placed.forward(lacking.corners), lacking.labels, names=names)
        ]
        pictures.append(with_outlines(pixels, drawn))
        sizes.append((placed.rows, placed.columns))
    size = preprocessing.image_size
    return {
        "misses": np.array(pictures, np.uint8).reshape(-1, size, size, 3),
        "misses_size": np.array(sizes, int).reshape(-1, 2),
        "misses_name": np.array([_name(images, place) for place in worst], str),
        "misses_missed": np.array([faults[place].missed.sum() for place in worst], int),
        "misses_wrong": np.array([(~faults[place].right).sum() for place in worst], int),
    }


def _name(images: Images, place: int) -> str:
    """Returns the name of an image in its source, without folders; nothing for an image in memory."""
    if not isinstance(images, StreamedImages):
        return ""
    return os.path.basename(images.store.name(int(images.index[place])))


def augmented(plan: Plan, objective: Batching) -> dict[str, np.ndarray]:
    """Returns training images with their boxes: `before` as evaluation sees them, `after` as the first batches do."""
    train, names = plan.data.train, plan.data.spec.class_names
    places = list(range(min(COUNT, len(train))))
    before = [
        with_outlines(pixels, outlines(placed.forward(boxes.corners), boxes.labels, names=names))
        for boxes, (pixels, placed) in zip(box_labels(train), _squares(train, places, plan.preprocessing), strict=False)
    ]
    after: list[np.ndarray] = []
    for images, boxes in islice(objective.batches(plan, 0), 2):
        rows = zip(_pixels(images, plan.preprocessing), boxes.corners.cpu(), boxes.labels.cpu(), strict=True)
        for pixels, corners, labels in rows:
            there = labels >= 0
            drawn = outlines(corners[there].numpy(), labels[there].numpy(), names=names)
            after.append(with_outlines(pixels, drawn))
    count = min(len(before), len(after), COUNT)
    return {"before": np.stack(before[:count]), "after": np.stack(after[:count])}


def _squares(images: Images, places: Sequence[int], preprocessing: Preprocessing) -> list[tuple[np.ndarray, Placement]]:
    """Returns some images as evaluation sees them, uint8 (size, size, 3), with their places in the square."""
    if not places:
        return []
    chosen = at(images, torch.tensor(places)).to("cpu")
    batches = BoxEvaluationBatches(chosen, preprocessing=preprocessing, batch_size=COUNT)
    return [pair for squares, placed in batches for pair in zip(_pixels(squares, preprocessing), placed, strict=True)]


def _pixels(images: Tensor, preprocessing: Preprocessing) -> np.ndarray:
    """Converts normalised images (n, 3, size, size) to uint8 (n, size, size, 3)."""
    mean, std = (torch.tensor(each)[:, None, None] for each in (preprocessing.mean, preprocessing.std))
    levels = (images.cpu() * std + mean).clamp(0, 1).mul(255).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).numpy()
