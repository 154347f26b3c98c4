"""The figure of a data set with boxes: images with their boxes, and the squares that a detector is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from convatlas.data import DataSet
from convatlas.data.boxes.augmentation import BoxChanges
from convatlas.data.boxes.batches import BoxBatches, PaddedBoxes
from convatlas.data.boxes.truth import Boxes, box_labels
from convatlas.data.epoch import epoch_seed
from convatlas.data.fitting import fit_recipe, make_preprocessing
from convatlas.data.images.decoding import read_encoded
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.preprocessing import Preprocessing
from convatlas.drawing import COLOURS, DPI, INK, save
from convatlas.errors import UsageError, escaped
from convatlas.insight.dataset import View
from convatlas.recipe import Recipe, RecipeRule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

COLUMNS, ROWS = 3, 3  # of images as they are
SQUARES = 4  # as a training shows them
NAMED = 12  # classes that the legend names
SIZE = 320  # pixels of a square where the recipe names none, as efficientdet_tiny has them
TITLE = 100  # letters in a line of the title


@dataclass(frozen=True)
class BoxView(View):
    """Data with boxes as a recipe shows it to a detector."""

    def squares(self, count: int) -> tuple[Tensor, PaddedBoxes]:
        """Returns the first `count` squares of an epoch of seed 0, normalised, and their boxes."""
        low, high = self.recipe.boxes.scale_jitter
        batches = BoxBatches(
            self.data.train,
            recipe=self.recipe.with_values(batch_size=count, accumulate=1),
            preprocessing=self.preprocessing,
            changes=BoxChanges(flip=self.recipe.images.flip, scale=(low, high), mosaic=self.recipe.boxes.mosaic),
            seed=epoch_seed(0, 0),
        )
        return next(iter(batches))

    def batch(self) -> dict[str, Any]:
        """Returns the size of the first batch of seed 0, and its mean and deviation per channel when normalised."""
        count = min(self.recipe.batch_size, len(self.data.train))
        images = self.squares(count)[0].double().transpose(0, 1).flatten(1)
        return {"n": count, "mean": images.mean(1).tolist(), "std": images.std(1, correction=0).tolist()}


def view_boxes(data: DataSet, chosen: Recipe | RecipeRule) -> BoxView:
    """Returns data with boxes under a recipe, whose squares have 320 pixels where it names no size."""
    recipe, notes = fit_recipe(chosen, data=data, in_channels=data.spec.channels)
    sized = recipe.with_values(image_size=recipe.images.image_size or SIZE)
    preprocessing = make_preprocessing(sized, data=data, in_channels=data.spec.channels)
    return BoxView(data, sized, preprocessing, (*data.notes, *notes))


def draw_boxes(shown: BoxView, path: Path) -> None:
    """Writes the figure: nine training images with boxes and class names, and four squares of a training."""
    from matplotlib.figure import Figure

    images = shown.data.train
    if not isinstance(images, StreamedImages):
        raise UsageError(f"{shown.data.spec.name} has no encoded images to draw")
    figure = Figure(figsize=(12, 13), dpi=DPI, layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(9.6, 3.4))
    above, below = parts
    _draw_images(above, images, names=shown.data.spec.class_names, title=shown.data.spec.title)
    _draw_squares(below, shown)
    save(figure, path)


def choose_boxed(boxes: Sequence[Boxes], *, count: int) -> list[int]:
    """Returns the places of `count` images: one with each class in turn, the rarest first, then others with boxes."""
    often = np.bincount(np.concatenate([each.labels for each in boxes]))
    rarest = [label for label in np.argsort(often, kind="stable").tolist() if often[label]]
    chosen: dict[int, None] = {}
    while len(chosen) < min(count, len(boxes)):
        before = len(chosen)
        for label in rarest:
            there = (place for place, each in enumerate(boxes) if place not in chosen and label in each.labels)
            chosen |= dict.fromkeys([*there][:1])
        if len(chosen) == before:  # those that are left have no boxes
            chosen |= dict.fromkeys(range(len(boxes)))
    return list(chosen)[:count]


def _draw_images(figure: SubFigure, images: StreamedImages, *, names: Sequence[str], title: str) -> None:
    boxes = box_labels(images)
    chosen = choose_boxed(boxes, count=COLUMNS * ROWS)
    lines = wrap(f"{escaped(title)}: training images with their boxes", TITLE)
    figure.suptitle("\n".join(lines), fontsize=12, color=INK)
    axes = [*figure.subplots(ROWS, COLUMNS).flat]
    for panel in axes:
        panel.set_axis_off()
    for panel, place in zip(axes, chosen, strict=False):
        number = int(images.index[place])
        encoded = read_encoded(images.store.read(number), images.store.shown(number))
        panel.imshow(encoded.pixels())
        _outline(panel, boxes[place], names)
        panel.set_title(escaped(Path(images.store.name(number)).name), fontsize=7.5, color=INK, pad=3)
    _legend(figure, [boxes[place] for place in chosen], names)


def _draw_squares(figure: SubFigure, shown: BoxView) -> None:
    """Draws the first squares of an epoch of seed 0."""
    size, names = shown.preprocessing.image_size, shown.data.spec.class_names
    pixels, truth = shown.squares(min(SQUARES, len(shown.data.train)))
    title = f"squares of {size} x {size} pixels, as a training by {shown.recipe.name} shows them"
    figure.suptitle(title, fontsize=12, color=INK)
    axes = figure.subplots(1, SQUARES, squeeze=False)[0]
    for panel in axes:
        panel.set_axis_off()
    for panel, square, *own in zip(axes, _visible(pixels, shown.preprocessing), *truth, strict=False):
        corners, labels, ignored = (each.numpy() for each in own)
        there = labels >= 0
        panel.imshow(square)
        _outline(panel, Boxes(corners[there], labels[there], ignored[there], size, size), names)


def _visible(pixels: Tensor, preprocessing: Preprocessing) -> np.ndarray:
    """Returns normalised squares (n, 3, size, size) as colours in [0, 1], (n, size, size, 3)."""
    plain = pixels.permute(0, 2, 3, 1).numpy() * preprocessing.std + preprocessing.mean
    colours: np.ndarray = plain.clip(0, 1)
    return colours


def _outline(panel: Axes, boxes: Boxes, names: Sequence[str]) -> None:
    """Draws boxes with the names of their classes; difficult ones are dashed. The smallest are drawn last."""
    from matplotlib.patches import Rectangle

    sizes = boxes.corners[:, 2:] - boxes.corners[:, :2]
    order = np.argsort(-sizes.prod(1), kind="stable")
    for (left, top, right, bottom), label, difficult in zip(
        boxes.corners[order].tolist(), boxes.labels[order].tolist(), boxes.difficult[order].tolist(), strict=True
    ):
        colour = COLOURS[label % len(COLOURS)]
        panel.add_patch(
            Rectangle(
                (left - 0.5, top - 0.5),  # the centre of the first pixel is at 0
                right - left,
                bottom - top,
                fill=False,
                edgecolor=colour,
                linewidth=1.3,
                linestyle="--" if difficult else "-",
            )
        )
        panel.text(
            left,
            top,
            escaped(names[label]),
            fontsize=5,
            color="white",
            va="top",
            clip_on=True,
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.8, "alpha": 0.85},
        )


def _legend(figure: SubFigure, boxes: Sequence[Boxes], names: Sequence[str]) -> None:
    """Names the colours of the classes that are drawn."""
    from matplotlib.patches import Patch

    there = sorted({label for each in boxes for label in each.labels.tolist()})
    handles = [Patch(color=COLOURS[label % len(COLOURS)], label=escaped(names[label])) for label in there[:NAMED]]
    if any(each.difficult.any() for each in boxes):
        handles.append(Patch(fill=False, linestyle="--", label="difficult or a crowd: ignored in evaluation"))
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
