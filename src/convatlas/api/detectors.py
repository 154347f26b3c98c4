"""Answers of detectors in Python: their measures on images with boxes, and the boxes in image files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from convatlas.detection.precision import PrecisionScores
from convatlas.errors import UsageError, escaped
from convatlas.files import as_path
from convatlas.prediction import Normalisation, Predictor, check_split, choose_images, open_network, pictures_of
from convatlas.prediction.detected import Detected, detected, evaluate_boxes
from convatlas.run import Run
from convatlas.values import Suppression


def evaluate_detector(
    source: str | Path | Run,
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    skip_unreadable: bool = False,
    split: str | None = None,
    suppression: Suppression = "hard",
    arch: str | None = None,
    normalisation: Normalisation | None = None,
    device: str = "auto",
    precision: str | None = None,
) -> PrecisionScores:
    """Evaluates a run's best epoch or a checkpoint of a detector: COCO's twelve numbers, and those of each class.

    `suppression` says what becomes of boxes that overlap a better one: `hard` drops them, `soft` lowers their scores.
    The other arguments are as in `evaluate`. Notes are warnings. Raises `UsageError`, for a classifier too.
    """
    check_split(split)
    predictor = _opened(source, arch=arch, normalisation=normalisation, device=device, precision=precision)
    chosen = choose_images(predictor, name=data, folder=as_path(data_dir), split=split, skip_unreadable=skip_unreadable)
    _warn(predictor, chosen.data.notes)
    return evaluate_boxes(predictor, chosen.data, split=chosen.part, suppression=suppression)


def detect(
    source: str | Path | Run,
    images: str | Path | Sequence[str | Path],
    *,
    suppression: Suppression = "hard",
    arch: str | None = None,
    normalisation: Normalisation | None = None,
    device: str = "auto",
    precision: str | None = None,
) -> list[Detected]:
    """Returns the boxes that a detector finds in each image file: corners in pixels, scores and classes, best first.

    `images` are files, folders with images in them, or patterns. An image that cannot be read has an `error` and no
    boxes. The other arguments are as in `evaluate_detector`. Raises `UsageError`, for a classifier too.
    """
    found = pictures_of([str(path) for path in ([images] if isinstance(images, str | Path) else images)])
    predictor = _opened(source, arch=arch, normalisation=normalisation, device=device, precision=precision)
    _warn(predictor, found.notes)
    return list(detected(predictor, found.paths, suppression=suppression))


def _opened(
    source: str | Path | Run,
    *,
    arch: str | None,
    normalisation: Normalisation | None,
    device: str,
    precision: str | None,
) -> Predictor:
    """Opens a detector on a device. Raises `UsageError` for a classifier."""
    place = source.path if isinstance(source, Run) else source
    predictor = open_network(place, arch=arch, normalisation=normalisation)
    if predictor.architecture.task != "detection":
        raise UsageError(f"{place} is a classifier; convatlas.evaluate and convatlas.predict take it")
    return predictor.to(device, precision=precision)


def _warn(predictor: Predictor, notes: Sequence[str]) -> None:
    for note in (*predictor.notes, *notes):
        warnings.warn(escaped(f"{predictor.source}: {note}"), stacklevel=3)
