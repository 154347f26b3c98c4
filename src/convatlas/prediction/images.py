"""Image files answered by a network: class names with probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from convatlas.data.images.workers import Fill, completed, worker_count
from convatlas.errors import UsageError
from convatlas.prediction.predictor import Predictor
from convatlas.prediction.views import Averaging, views_of

AT_A_TIME = 64  # images of which the squares are in memory together
PART = 8  # images that one worker reads in a row


@dataclass(frozen=True)
class Answer:
    """A network's answer to an image file: class names with probabilities, the most probable first.

    An image that cannot be read has no classes, and the reason as its `error`.
    """

    path: Path
    classes: tuple[tuple[str, float], ...] = ()
    error: str | None = None


def answers(
    predictor: Predictor, paths: Sequence[str | Path], *, top: int = 5, averaging: Averaging = "none"
) -> Iterator[Answer]:
    """Yields the `top` most probable classes of each image file, in order; of equal ones the lower index comes first.

    An image that cannot be read has an error instead. Threads read the images ahead, some at a time, so that memory
    does not grow with their number. `averaging` averages the probabilities of several squares of an image. A class
    whose name the checkpoint does not say is called `class 3`. Raises `UsageError` for a network that has diverged.
    """
    jobs = (_job(predictor, paths[start : start + AT_A_TIME], averaging) for start in range(0, len(paths), AT_A_TIME))
    for chosen, found in completed(jobs, workers=worker_count(None)):
        squares = [each for each in found if isinstance(each, Tensor)]
        rows = iter(_probabilities(predictor, squares, chosen) if squares else ())
        for path, each in zip(chosen, found, strict=True):
            if isinstance(each, Tensor):
                yield Answer(path, _most_probable(predictor, next(rows), top))
            else:
                yield Answer(path, error=str(each))


Found = list[Tensor | UsageError | None]


def _job(
    predictor: Predictor, paths: Sequence[str | Path], averaging: Averaging
) -> tuple[tuple[list[Path], Found], list[Fill]]:
    """Returns some paths with empty places for their squares, and what fills each part of the places."""
    chosen = [Path(path) for path in paths]
    found: Found = [None] * len(chosen)
    read = partial(_read, predictor=predictor, averaging=averaging)
    parts = (range(start, min(start + PART, len(chosen))) for start in range(0, len(chosen), PART))
    return (chosen, found), [partial(read, chosen, found, part) for part in parts]


def _read(chosen: list[Path], found: Found, part: range, *, predictor: Predictor, averaging: Averaging) -> None:
    """Puts the squares of a part of the images into their places, or the error where an image cannot be read."""
    for place in part:
        try:
            found[place] = views_of(chosen[place], predictor.preprocessing, averaging=averaging)
        except UsageError as error:
            found[place] = error


def _probabilities(predictor: Predictor, squares: Sequence[Tensor], chosen: Sequence[Path]) -> Tensor:
    """Returns the probabilities (N, classes), float64, of N images (views, C, size, size)."""
    logits = predictor.logits_of_squares(torch.cat([*squares])).double()
    if not bool(logits.isfinite().all()):
        raise UsageError(
            f"{predictor.source} gives {chosen[0]} or images after it no finite logits; the network has diverged"
        )
    return logits.softmax(1).view(len(squares), -1, logits.shape[1]).mean(1)


def _most_probable(predictor: Predictor, probabilities: Tensor, top: int) -> tuple[tuple[str, float], ...]:
    names = predictor.class_names or tuple(f"class {index}" for index in range(predictor.num_classes))
    ordered, order = probabilities.sort(descending=True, stable=True)
    pairs = zip(order.tolist(), ordered.tolist(), strict=True)
    return tuple((names[index], probability) for index, probability in list(pairs)[:top])
