"""The questions of an explanation: the images, the network's answers to them, and the classes that are explained."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from convatlas.data.images.image_files import mode_of, read_image
from convatlas.data.images.levels import MODES
from convatlas.errors import UsageError, unknown
from convatlas.insight.explain.features import chosen_stages, spatial_stages
from convatlas.insight.explain.methods import CAM, METHODS, PIXELS, Features, Question, answered
from convatlas.prediction import Predictor

TOP = 3  # classes that are named for an image


@dataclass(frozen=True)
class Wanted:
    """The images, the methods by name, the stages whose maps are shown, the class, and what else is drawn.

    Without a class the predicted one is explained. `excite` has classes and channels `STAGE:CHANNEL`, `steps` is of
    their pictures. `neighbours` is the number of training images that are shown for each image, `curve_images` the
    number of test images on which the maps are measured in place of the named ones.
    """

    images: Sequence[str] = ()
    methods: Sequence[str] = tuple(METHODS)
    stages: Sequence[str] = ()
    class_name: str | None = None
    checks: frozenset[str] = frozenset()  # of sanity, curves and embedding
    excite: Sequence[str] = ()
    steps: int = 192
    neighbours: int = 0
    curve_images: int = 0

    @property
    def needs_data(self) -> bool:
        """Returns whether images of a data set are shown or measured."""
        return self.neighbours > 0 or self.curve_images > 0 or "embedding" in self.checks

    @property
    def measures(self) -> bool:
        """Returns whether deletion and insertion curves are measured."""
        return self.curve_images > 0 or "curves" in self.checks


@dataclass(frozen=True)
class Asked:
    """An image uint8 (1, C, H, W) from a file, the question about it, and its most probable classes."""

    path: str
    number: int  # of the image, from 1
    image: Tensor
    question: Question
    classes: tuple[tuple[str, float], ...]
    reading: str  # how the network sees the file, in words


def plain_copy(predictor: Predictor) -> nn.Module:
    """Returns a copy of the network in float32 and eval mode, whose weights need no gradients."""
    return copy.deepcopy(predictor.plain_network).requires_grad_(False)


def ask(predictor: Predictor, wanted: Wanted, network: nn.Module | None = None) -> list[Asked]:
    """Reads the images and answers them. Raises `UsageError` for one without explanation, before files are written.

    The network is that of `plain_copy`, which is made where none is given.
    """
    if not wanted.images:
        return []
    target = None if wanted.class_name is None else class_index(predictor, wanted.class_name)
    network = plain_copy(predictor) if network is None else network
    images = [read_image(Path(path), channels=predictor.in_channels) for path in wanted.images]
    inputs = [predictor.inputs(image) for image in images]
    stage = last_stage(network, inputs[0], wanted.methods)
    chosen_stages(network, inputs[0], list(wanted.stages))
    asked = []
    for place, (row, features) in enumerate(answers_of(network, inputs, stage, target)):
        path, image = wanted.images[place], images[place]
        ordered = ordered_classes(predictor, path, row)
        chosen = ordered[0][0] if target is None else target
        question = Question(network, inputs[place], chosen, stage, features=features)
        classes = tuple((class_title(predictor, index), probability) for index, probability in ordered[:TOP])
        asked.append(Asked(path, place + 1, image, question, classes, _reading(predictor, path, image)))
    return asked


def last_stage(network: nn.Module, inputs: Tensor, methods: Sequence[str]) -> str:
    """Returns the last module whose output has rows and columns, "" where there is none.

    Raises `UsageError` where there is none and one of the methods needs it.
    """
    ended = spatial_stages(network, inputs)
    needing = [METHODS[name].title for name in methods if name in CAM]
    if needing and not ended:
        others = [name for name in METHODS if name not in CAM]
        raise UsageError(
            f"{needing[0]} needs features with rows and columns, and the network has none; choose other methods: "
            + " ".join(f"--method {name}" for name in others)
        )
    return ended[-1] if ended else ""


def answers_of(
    network: nn.Module, inputs: Sequence[Tensor], stage: str, target: int | None
) -> Iterator[tuple[Tensor, Features | None]]:
    """Yields the logits (classes,) of inputs (1, C, size, size), and the stage's features for the explained class.

    Without a stage there are no features.
    """

    def choose(logits: Tensor) -> Tensor:
        best = _descending(logits)[1][:, 0]
        return best if target is None else torch.full_like(best, target)

    chunk = max(1, PIXELS // inputs[0].shape[-2:].numel())
    for at in range(0, len(inputs), chunk):
        together = torch.cat([*inputs[at : at + chunk]])
        if stage:
            yield from zip(*answered(network, together, stage, choose=choose), strict=True)
        else:
            with torch.no_grad():
                yield from ((row, None) for row in network(together))


def _descending(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the probabilities of logits (N, classes), the largest first, and their classes."""
    return logits.double().softmax(1).sort(descending=True, stable=True)


def ordered_classes(predictor: Predictor, image: str, logits: Tensor) -> list[tuple[int, float]]:
    """Returns the classes of an image's logits (classes,) with their probabilities, the most probable first."""
    if not bool(logits.isfinite().all()):
        raise UsageError(f"{predictor.source} gives {image} no finite logits; the network has diverged")
    probabilities, order = _descending(logits[None])
    return list(zip(order[0].tolist(), probabilities[0].tolist(), strict=True))


def _reading(predictor: Predictor, path: str, image: Tensor) -> str:
    """Returns how an image file becomes the network's input: its size, its mode where it is converted, and the cut."""
    height, width = image.shape[-2:]
    mode, own = mode_of(Path(path)), MODES[predictor.in_channels]
    converted = "" if mode == own else f", {mode}, converted to {own}"
    seen, size = predictor.rectangle(image), predictor.preprocessing.image_size
    rows, columns = round(seen.height), round(seen.width)
    part = "all of them" if (rows, columns) == (height, width) else f"{columns} x {rows} of them"
    return f"{width} x {height} pixels{converted}; the network sees {part}, as {size} x {size}"


def class_title(predictor: Predictor, index: int) -> str:
    """Returns the name of a class, `class 3` where the checkpoint names none."""
    return predictor.class_names[index] if predictor.class_names else f"class {index}"


def class_index(predictor: Predictor, text: str) -> int:
    """Returns the class of a name, or of a number. Raises `UsageError` for an unknown one, with the nearest names."""
    names = [name.lower() for name in predictor.class_names or ()]
    if text.lower() in names:
        return names.index(text.lower())
    if text.isdecimal() and int(text) < predictor.num_classes:
        return int(text)
    numbers = f"a number from 0 to {predictor.num_classes - 1}"
    if not predictor.class_names:
        raise UsageError(f"unknown class {text!r}; {predictor.source} names no classes: give {numbers}")
    raise unknown("class", text, predictor.class_names, hint=f" (or {numbers})")
