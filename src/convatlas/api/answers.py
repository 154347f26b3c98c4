"""Answers of networks in Python: on labelled data, on image files, and the kept ones of a study."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from convatlas.errors import UsageError
from convatlas.evaluation import Evaluation
from convatlas.files import as_path
from convatlas.prediction import (
    Answer,
    Normalisation,
    answer,
    check_images,
    check_split,
    choose_data,
    evaluate_split,
    open_predictor,
)
from convatlas.report import Report
from convatlas.run import Run, find_runs


def evaluate(
    source: str | Path | Run,
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    split: str = "test",
    arch: str | None = None,
    weights: str | None = None,
    normalisation: Normalisation | None = None,
    device: str = "auto",
    precision: str | None = None,
) -> Evaluation:
    """Evaluates a run's best epoch, a checkpoint or an architecture's published `weights` on a split of a data set.

    The data is by default that of the run, or the one that the weights were published for; the normalisation is always
    the checkpoint's own, or `normalisation` (mean and standard deviation of each channel) where it has none. `arch`
    names the network of a checkpoint that does not, `precision` (`float32` or `bf16`) is by default what a run was
    trained in, else float32. Another copy of a run's images is evaluated where `data` names it, else refused. The
    answer holds the scores, and the logits and labels of all images. Notes, such as that the data is a part of the
    published one, are warnings. Raises `UsageError`.
    """
    check_split(split)
    place = source.path if isinstance(source, Run) else source
    predictor = open_predictor(place, arch=arch, weights=weights, normalisation=normalisation)
    predictor = predictor.to(device, precision=precision)
    chosen = choose_data(predictor, name=data, folder=as_path(data_dir))
    for note in (*predictor.notes, *chosen.notes):
        warnings.warn(f"{predictor.source}: {note}", stacklevel=2)
    return evaluate_split(predictor, chosen, split=split)


def predict(
    source: str | Path | Run,
    images: str | Path | Sequence[str | Path],
    *,
    top: int = 5,
    arch: str | None = None,
    weights: str | None = None,
    normalisation: Normalisation | None = None,
    device: str = "auto",
    precision: str | None = None,
) -> list[Answer]:
    """Returns the `top` most probable classes of each image file, as a network answers.

    `source` is a run, a checkpoint or an architecture with published `weights`; what it does not say itself is given as
    in `evaluate`. Raises `UsageError`.
    """
    paths = [Path(path) for path in ([images] if isinstance(images, str | Path) else images)]
    check_images(paths)
    if top < 1:
        raise UsageError(f"top={top} must be at least 1")
    place = source.path if isinstance(source, Run) else source
    predictor = open_predictor(place, arch=arch, weights=weights, normalisation=normalisation)
    predictor = predictor.to(device, precision=precision)
    for note in predictor.notes:
        warnings.warn(f"{predictor.source}: {note}", stacklevel=2)
    return [answer(predictor, path, top=top) for path in paths]


def predictions(study: str | Path | Report) -> dict[str, dict[str, np.ndarray]]:
    """Returns the predictions of the finished runs of a study, by each run's folder below the study's.

    Those of a run are the arrays `val_logits` and `test_logits` (n, classes), `val_labels`, `test_labels`, `val_index`
    and `test_index` (n,), the images' places in the source; evaluated weights of others have those of the test images
    alone. Raises `UsageError` where there is no finished run.
    """
    folder = study.folder if isinstance(study, Report) else Path(study)
    runs = [run for run in find_runs(folder) if run.finished]
    if not runs:
        raise UsageError(f"no finished run in {folder}; train one with convatlas.train or compare")
    return {run.path.relative_to(folder).as_posix(): run.predictions() for run in runs}
