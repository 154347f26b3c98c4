"""Answers of networks in Python: on labelled data, on image files, and the stored predictions of a study."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from convatlas.errors import UsageError, escaped
from convatlas.evaluation import Evaluation
from convatlas.files import as_path
from convatlas.prediction import (
    Answer,
    Averaging,
    Normalisation,
    answers,
    check_averaging,
    check_split,
    choose_images,
    evaluate_split,
    open_predictor,
    pictures_of,
)
from convatlas.report import Report
from convatlas.run import Run, find_runs
from convatlas.values import parse


def evaluate(
    source: str | Path | Run,
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    skip_unreadable: bool = False,
    split: str | None = None,
    arch: str | None = None,
    weights: str | None = None,
    normalisation: Normalisation | None = None,
    device: str = "auto",
    precision: str | None = None,
) -> Evaluation:
    """Evaluates a run's best epoch, a checkpoint or an architecture's published `weights` on a split of a data set.

    By default `data` is the data set of the run or of the weights; classes are matched by name. `split` is `train`,
    `validation`, `test`, or `all` for images of your own that the network was not trained on; without it the test
    images, or all where such images have no parts. The normalisation is always the checkpoint's own; if the checkpoint
    has none, give `normalisation`, mean and standard deviation of each channel. `arch` names the network if the
    checkpoint does not. `precision` is `float32` or `bf16`, by default the run's, else float32. Another copy of a run's
    images is evaluated only if `data` names it. With `skip_unreadable`, images that cannot be read are left out. The
    answer holds the scores, and the logits and labels of all images. Notes are warnings, for example that the data is
    only a part of the published data. Raises `UsageError`.
    """
    check_split(split)
    place = source.path if isinstance(source, Run) else source
    predictor = open_predictor(place, arch=arch, weights=weights, normalisation=normalisation)
    predictor = predictor.to(device, precision=precision)
    chosen = choose_images(predictor, name=data, folder=as_path(data_dir), split=split, skip_unreadable=skip_unreadable)
    for note in (*predictor.notes, *chosen.data.notes):
        warnings.warn(escaped(f"{predictor.source}: {note}"), stacklevel=2)
    return evaluate_split(predictor, chosen.data, split=chosen.part)


def predict(
    source: str | Path | Run,
    images: str | Path | Sequence[str | Path],
    *,
    top: int = 5,
    tta: str = "none",
    arch: str | None = None,
    weights: str | None = None,
    normalisation: Normalisation | None = None,
    device: str = "auto",
    precision: str | None = None,
) -> list[Answer]:
    """Returns the answer of a network for each image file, the `top` most probable classes.

    `images` are files, folders with images in them, or patterns. `tta` averages over several squares of an image:
    `flip` over it and its mirror image, `ten-crop` over its corners, its centre and their mirror images. `source` is a
    run, a checkpoint or an architecture with published `weights`; the other arguments are as in `evaluate`. An image
    that cannot be read has an `error` and no classes, and a warning says how many. Raises `UsageError`.
    """
    averaging: Averaging = parse(tta, Averaging, name="tta")
    found = pictures_of([str(path) for path in ([images] if isinstance(images, str | Path) else images)])
    if top < 1:
        raise UsageError(f"top={top} must be at least 1")
    place = source.path if isinstance(source, Run) else source
    predictor = open_predictor(place, arch=arch, weights=weights, normalisation=normalisation)
    predictor = predictor.to(device, precision=precision)
    for note in (*predictor.notes, *found.notes):
        warnings.warn(escaped(f"{predictor.source}: {note}"), stacklevel=2)
    check_averaging(predictor, averaging)
    given = list(answers(predictor, found.paths, top=top, averaging=averaging))
    faults = [each.error for each in given if each.error is not None]
    if faults:
        warnings.warn(f"{len(faults)} of {len(given)} images cannot be read: {escaped(faults[0])}", stacklevel=2)
    return given


def predictions(study: str | Path | Report) -> dict[str, dict[str, np.ndarray]]:
    """Returns the predictions of the finished runs of a study, by each run's folder below the study's.

    A run has the arrays `val_logits` and `test_logits` (n, classes), `val_labels`, `test_labels`, `val_index` and
    `test_index` (n,); an index is an image's place in the source. Evaluated published weights have only the arrays of
    the test images. Raises `UsageError` if no run is finished.
    """
    folder = study.folder if isinstance(study, Report) else Path(study)
    runs = [run for run in find_runs(folder) if run.finished]
    if not runs:
        raise UsageError(f"no finished run in {folder}; train one with convatlas.train or compare")
    return {run.path.relative_to(folder).as_posix(): run.predictions() for run in runs}
