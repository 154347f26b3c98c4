"""Image files answered by a network: class names with probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from convatlas.data.images.image_files import check_images, read_image
from convatlas.errors import UsageError
from convatlas.prediction.predictor import Predictor

__all__ = ["Answer", "answer", "check_images", "read_image"]


@dataclass(frozen=True)
class Answer:
    """A network's answer to an image file: class names with probabilities, the most probable first."""

    path: Path
    classes: tuple[tuple[str, float], ...]


def answer(predictor: Predictor, path: Path, *, top: int = 5) -> Answer:
    """Returns the `top` most probable classes of an image file; of equal ones that with the lower index comes first.

    A class whose name the checkpoint does not say is called `class 3`. Raises `UsageError` as `read_image` does.
    """
    logits = predictor.logits(read_image(path, channels=predictor.in_channels))[0].double()
    if not bool(logits.isfinite().all()):
        raise UsageError(f"{predictor.source} gives {path} no finite logits; the network has diverged")
    names = predictor.class_names or tuple(f"class {index}" for index in range(predictor.num_classes))
    probabilities, order = logits.softmax(0).sort(descending=True, stable=True)
    pairs = zip(order.tolist(), probabilities.tolist(), strict=True)
    return Answer(path, tuple((names[index], probability) for index, probability in list(pairs)[:top]))
