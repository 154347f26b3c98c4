"""The figure of a data set: images with their classes, before and after augmentation, and one image's channels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from convatlas.data import DataSet, class_labels
from convatlas.data.batches.loader import TrainingBatches, augmented_images
from convatlas.data.epoch import epoch_seed
from convatlas.data.fitting import check_fit, fit_recipe, make_preprocessing
from convatlas.data.preprocessing import Preprocessing
from convatlas.drawing import DPI, INK, SOFT, save
from convatlas.errors import escaped
from convatlas.recipe import Recipe, RecipeRule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

COLUMNS, BLOCKS = 10, 2  # pictures in a row, rows of different pictures
TITLE = 100  # letters in a line of the title
EPOCHS = 2  # of which the augmentation of each picture is shown
PATCH = 8  # pixels a side whose values are written out
HIGHLIGHT = "#E69F00"
CHANNELS = ("red", "lime", "blue")  # the colours of the three channels at 255; at 0 they are black


@dataclass(frozen=True)
class View:
    """A data set as a recipe shows it to a network."""

    data: DataSet
    recipe: Recipe
    preprocessing: Preprocessing
    notes: tuple[str, ...]

    def batch(self) -> dict[str, Any]:
        """Returns the size of the first batch of seed 0, and its mean and deviation per channel when normalised."""
        batches = TrainingBatches(
            self.data.train,
            recipe=self.recipe.with_values(mixup=0.0, cutmix=0.0),
            preprocessing=self.preprocessing,
            num_classes=len(self.data.spec.class_names),
            seed=epoch_seed(0, 0),
        )
        images = next(iter(batches))[0].double().transpose(0, 1).flatten(1)
        mean, std = images.mean(1).tolist(), images.std(1, correction=0).tolist()
        return {"n": min(self.recipe.batch_size, len(self.data.train)), "mean": mean, "std": std}


def view(data: DataSet, chosen: Recipe | RecipeRule) -> View:
    """Returns the data under a recipe that is fitted to it, as training does."""
    recipe, notes = fit_recipe(chosen, data=data, in_channels=data.spec.channels)
    preprocessing = make_preprocessing(recipe, data=data, in_channels=data.spec.channels)
    check_fit(recipe, image_size=preprocessing.image_size, in_channels=data.spec.channels)
    return View(data, recipe, preprocessing, (*data.notes, *notes))


def draw_data(shown: View, path: Path) -> None:
    """Writes the figure: two images of each of ten classes, each augmented twice, and one image's channels."""
    from matplotlib.figure import Figure

    grey = shown.data.spec.channels == 1
    heights = (6.2, 2.8 if grey else 4.5)
    figure = Figure(figsize=(9, sum(heights)), dpi=DPI, layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=heights)
    above, below = parts
    chosen = choose_images(shown.data, count=COLUMNS * BLOCKS)
    _draw_grid(above, shown, chosen)
    draw_one = _draw_grey if grey else _draw_colour
    draw_one(below, shown, int(chosen[0]))
    save(figure, path)


def choose_images(data: DataSet, *, count: int) -> Tensor:
    """Returns the places of `count` training images: one of each class in turn, and again while there are more."""
    labels = class_labels(data.train)
    by_class = [torch.nonzero(labels == c).flatten().tolist() for c in range(len(data.spec.class_names))]
    longest = max(map(len, by_class))
    order = [places[turn] for turn in range(min(longest, count)) for places in by_class if turn < len(places)]
    return torch.tensor(order[:count])


def _draw_grid(figure: SubFigure, shown: View, chosen: Tensor) -> None:
    """Draws ten images in a row as the recipe resizes them, and below the same images as in epochs 1 and 2."""
    train, preprocessing = shown.data.train, shown.preprocessing
    rows = [train.batch(chosen, preprocessing=preprocessing)]
    for epoch in range(EPOCHS):
        seed = epoch_seed(0, epoch)
        rows.append(augmented_images(train, chosen, recipe=shown.recipe, preprocessing=preprocessing, seed=seed))
    size = shown.preprocessing.image_size
    first = "stored" if size == shown.data.spec.image_size else "resized"
    labels = (first, *(f"epoch {epoch + 1}" for epoch in range(EPOCHS)))
    title = (
        f"{escaped(shown.data.spec.name)}: training images at {size} x {size} pixels, and as two epochs of "
        f"{shown.recipe.name} show them"
    )
    figure.suptitle("\n".join(wrap(title, TITLE)), fontsize=11, color=INK)
    axes = figure.subplots(BLOCKS * len(rows), COLUMNS)
    for place in range(BLOCKS * COLUMNS):
        block, column = divmod(place, COLUMNS)
        for variant, images in enumerate(rows):
            panel = axes[block * len(rows) + variant, column]
            panel.set_axis_off()
            if column == 0:
                _row_label(panel, labels[variant])
            if place < len(chosen):
                _picture(panel, images[place])
        if place < len(chosen):
            name = shown.data.spec.class_names[int(class_labels(train)[chosen[place]])]
            axes[block * len(rows), column].set_title(escaped(name).replace("_", " "), fontsize=8, color=INK, pad=3)


def _draw_colour(figure: SubFigure, shown: View, place: int) -> None:
    """Draws the image and its three channels, and below each channel the values of the square that is marked in it."""
    image = _stored(shown, place)
    corner, side = _patch(image)
    _title(figure, shown.data, place)
    axes = figure.subplots(2, 4)
    _picture(axes[0, 0], image / 255)
    _picture(axes[1, 0], image[:, corner : corner + side, corner : corner + side] / 255)
    axes[0, 0].set_title("all channels", fontsize=9, color=INK)
    axes[1, 0].set_xlabel("the square", fontsize=9, color=INK)
    for channel, colours in enumerate(CHANNELS):
        plane = image[channel].numpy()
        axes[0, channel + 1].set_title(("red", "green", "blue")[channel], fontsize=9, color=INK)
        _plane(axes[0, channel + 1], plane, colours=colours)
        _values(axes[1, channel + 1], plane[corner : corner + side, corner : corner + side], colours=colours)
        axes[1, channel + 1].set_xlabel(_range(plane), fontsize=8.5, color=SOFT)
    for panel in axes[0]:
        _mark(panel, corner, side)
    for panel in axes.flat:
        panel.set(xticks=[], yticks=[])


def _draw_grey(figure: SubFigure, shown: View, place: int) -> None:
    """Draws the image, and the values of the square that is marked in it."""
    image = _stored(shown, place)
    plane = image[0].numpy()
    corner, side = _patch(image)
    _title(figure, shown.data, place)
    left, right = figure.subplots(1, 2)
    _plane(left, plane, colours="white")
    _mark(left, corner, side)
    _values(right, plane[corner : corner + side, corner : corner + side], colours="white")
    left.set_xlabel(_range(plane), fontsize=8.5, color=SOFT)
    for panel in (left, right):
        panel.set(xticks=[], yticks=[])


def _stored(shown: View, place: int) -> Tensor:
    """Returns a training image uint8 (C, H, W): as it is stored, or resized where images are of many sizes."""
    size = shown.data.spec.image_size or shown.preprocessing.image_size
    return shown.data.train.thumbnails(torch.tensor([place]), size=size)[0]


def _patch(image: Tensor) -> tuple[int, int]:
    """Returns the row, which is the column too, at which the square in the middle begins, and its side."""
    size = image.shape[-1]
    side = min(PATCH, size)
    return (size - side) // 2, side


def _title(figure: SubFigure, data: DataSet, place: int) -> None:
    name = escaped(data.spec.class_names[int(class_labels(data.train)[place])]).replace("_", " ")
    where = int(data.train.index[place])
    figure.suptitle(
        f"the pixels of training image {where} ({name}), and their values from 0 to 255", fontsize=11, color=INK
    )


def _picture(axes: Axes, image: Tensor) -> None:
    """Draws a float image (C, H, W) in [0, 1], grey for one channel."""
    pixels = image.clamp(0, 1).permute(1, 2, 0).numpy()
    axes.imshow(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels, cmap="gray", vmin=0, vmax=1)


def _row_label(axes: Axes, text: str) -> None:
    axes.text(-0.08, 0.5, text, transform=axes.transAxes, rotation=90, ha="right", va="center", fontsize=8, color=SOFT)


def _plane(axes: Axes, plane: np.ndarray, *, colours: str) -> None:
    """Draws one channel, from black at 0 to its colour at 255."""
    from matplotlib.colors import LinearSegmentedColormap

    axes.imshow(plane, cmap=LinearSegmentedColormap.from_list(colours, ["black", colours]), vmin=0, vmax=255)


def _values(axes: Axes, plane: np.ndarray, *, colours: str) -> None:
    """Draws a few pixels, each with its value."""
    _plane(axes, plane, colours=colours)
    for (row, column), value in np.ndenumerate(plane):
        dark = value < 128 or colours in ("red", "blue")  # these stay dark enough for white letters
        ink = "white" if dark else "black"
        axes.text(column, row, str(int(value)), ha="center", va="center", fontsize=6.5, color=ink)


def _mark(axes: Axes, corner: int, side: int) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((corner - 0.5, corner - 0.5), side, side, fill=False, edgecolor=HIGHLIGHT, linewidth=1.4))


def _range(plane: np.ndarray) -> str:
    return f"whole image: {plane.min()} to {plane.max()},\nmean {plane.mean():.1f}"
