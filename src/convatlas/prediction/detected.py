"""A detector asked about image files, and about a split of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from convatlas.data import DataSet
from convatlas.data.boxes.batches import border
from convatlas.data.boxes.placement import Placement, fitted, put
from convatlas.data.boxes.truth import box_labels
from convatlas.data.images.decoding import read_encoded
from convatlas.data.images.image_files import check_images, damage_named
from convatlas.data.preprocessing import Preprocessing
from convatlas.detection.precision import FoundBoxes, PrecisionScores, precision_scores
from convatlas.errors import UsageError
from convatlas.files import read_regular
from convatlas.prediction.detector import asked, at_a_time, boxes_in_squares, predict_boxes
from convatlas.prediction.evaluate import split_of
from convatlas.prediction.logits import answering
from convatlas.prediction.predictor import Predictor
from convatlas.values import Suppression


@dataclass(frozen=True, eq=False)
class Detected:
    """The boxes that a detector finds in an image file, and its pixels uint8 (H, W, 3).

    An image that cannot be read has neither, and the reason as its `error`.
    """

    path: Path
    boxes: FoundBoxes | None = None
    pixels: np.ndarray | None = field(default=None, repr=False)
    error: str | None = None


def evaluate_boxes(
    predictor: Predictor, data: DataSet, *, split: str = "test", suppression: Suppression = "hard"
) -> PrecisionScores:
    """Returns the measures of a detector on a split of the data."""
    images = split_of(data, split)
    network = predictor.answers or answering(predictor.network, precision=predictor.precision)
    found = predict_boxes(
        network,
        images,
        preprocessing=predictor.preprocessing,
        precision=predictor.precision,
        suppression=suppression,
    )
    return precision_scores(found, box_labels(images), class_names=data.spec.class_names)


def detected(
    predictor: Predictor, paths: Sequence[str | Path], *, suppression: Suppression = "hard"
) -> Iterator[Detected]:
    """Yields the boxes that a detector finds in each image file, in order; an unreadable image has an error instead."""
    if predictor.in_channels != 3:
        raise UsageError(f"{predictor.source} takes {predictor.in_channels} channels; image files have 3")
    count = at_a_time(predictor.preprocessing)
    for start in range(0, len(paths), count):
        read = [_read(Path(path)) for path in paths[start : start + count]]
        found = iter(_found(predictor, [each.pixels for each in read if each.pixels is not None], suppression))
        for each in read:
            yield each if each.pixels is None else Detected(each.path, next(found), each.pixels)


def class_name(predictor: Predictor, label: int) -> str:
    """Returns the name of a class, `class 3` where the checkpoint does not say it."""
    names = predictor.class_names or ()
    return names[label] if label < len(names) else f"class {label}"


def _read(path: Path) -> Detected:
    try:
        check_images([path])
        with damage_named(path):
            return Detected(path, pixels=read_encoded(read_regular(path), str(path)).pixels())
    except UsageError as error:
        return Detected(path, error=str(error))


def _found(predictor: Predictor, images: Sequence[np.ndarray], suppression: Suppression) -> list[FoundBoxes]:
    """Returns the boxes in some images uint8 (H, W, 3)."""
    if not images:
        return []
    preprocessing = predictor.preprocessing
    pairs = [_square(pixels, preprocessing) for pixels in images]
    stacked = torch.from_numpy(np.stack([square for square, _ in pairs])).permute(0, 3, 1, 2)
    device = next(predictor.network.parameters()).device
    squares = preprocessing.normalize(stacked.to(device).to(torch.float32).div_(255))
    network = predictor.answers or answering(predictor.network, precision=predictor.precision)
    with asked(network):
        return boxes_in_squares(
            network,
            squares,
            [placed for _, placed in pairs],
            precision=predictor.precision,
            suppression=suppression,
        )


def _square(pixels: np.ndarray, preprocessing: Preprocessing) -> tuple[np.ndarray, Placement]:
    """Returns an image in the square that the network sees, uint8 (size, size, 3), as evaluation places it."""
    size = preprocessing.image_size
    square = np.empty((size, size, 3), np.uint8)
    square[:] = border(preprocessing)
    placed = fitted(pixels.shape[1], pixels.shape[0], size=size)
    put(pixels, placed, square)
    return square, placed
