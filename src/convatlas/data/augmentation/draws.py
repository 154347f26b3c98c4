"""The random numbers that a recipe draws for each training image, and the changes that they make."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from convatlas.data.augmentation.crops import (
    PADDING,
    crop_rectangles,
    draw_mirrored,
    draw_places,
    mirrored_where,
    padded_crop,
    read_places,
    resized_crop,
    window,
)
from convatlas.data.augmentation.jitter import jittered
from convatlas.data.augmentation.rand_augment import rand_augment
from convatlas.data.preprocessing import Preprocessing
from convatlas.device import sent
from convatlas.recipe import Recipe


@dataclass(frozen=True)
class Draws:
    """The changes of N images, on their device: whether each is mirrored, and the part of it that is taken.

    `rows` and `columns` are of a resized crop, which mirrors too; `places` are those of the upper left corners of a
    padded or a random one.
    """

    mirrored: Tensor | None = None  # (N,)
    rows: Tensor | None = None  # (N, H)
    columns: Tensor | None = None  # (N, W)
    places: Tensor | None = None  # (N, 2)

    def part(self, start: int, end: int) -> Draws:
        """Returns the draws of the images from `start` to `end`."""
        return Draws(*(None if drawn is None else drawn[start:end] for drawn in vars(self).values()))


def draw(count: int, height: int, width: int, *, recipe: Recipe, generator: Generator, device: torch.device) -> Draws:
    """Draws for `count` images of one size. For many at once they cost little more than for a few."""
    mirrored = None
    if recipe.images.flip:
        mirrored = sent(draw_mirrored(count, probability=recipe.images.flip, generator=generator), device)
    if recipe.images.crop == "resized":
        scale, ratio = recipe.images.crop_scale, recipe.images.crop_ratio
        rectangles = crop_rectangles(count, height, width, scale=scale, ratio=ratio, generator=generator)
        rows, columns = read_places(sent(rectangles, device, torch.float32), height, width, mirrored=mirrored)
        return Draws(rows=rows, columns=columns)
    return replace(draw_after_reading(count, recipe=recipe, generator=generator, device=device), mirrored=mirrored)


def draw_after_reading(count: int, *, recipe: Recipe, generator: Generator, device: torch.device) -> Draws:
    """Draws the rest for `count` images that were mirrored, or cut, while they were read: the places of a crop."""
    fields = recipe.images
    if fields.crop == "pad4":
        return Draws(places=sent(draw_places(count, free=2 * PADDING, generator=generator), device))
    if fields.crop == "random" and fields.shorter_side is not None and fields.image_size is not None:
        free = fields.shorter_side - fields.image_size
        return Draws(places=sent(draw_places(count, free=free, generator=generator), device))
    return Draws()


def before_crop(preprocessing: Preprocessing, recipe: Recipe) -> Preprocessing:
    """Returns the preprocessing that brings an image to the square of which a recipe cuts a random part.

    >>> chosen = Preprocessing(128, (0.5,), (0.5,), shorter_side=160, fit="squash")
    >>> from convatlas.recipe import recipe
    >>> before_crop(chosen, recipe("quick").replaced(image_size=128, shorter_side=160, crop="random")).image_size
    160
    """
    if recipe.images.crop != "random" or preprocessing.shorter_side is None:
        return preprocessing
    return replace(preprocessing, image_size=preprocessing.shorter_side, shorter_side=None)


def changed(images: Tensor, drawn: Draws, *, recipe: Recipe, generator: Generator) -> Tensor:
    """Returns float images (N, C, H, W), changed by their draws and the recipe, before they are normalised."""
    if drawn.rows is not None and drawn.columns is not None:
        images = resized_crop(images, drawn.rows, drawn.columns)
    if drawn.mirrored is not None:
        images = mirrored_where(images, drawn.mirrored)
    if drawn.places is not None:
        if recipe.images.crop == "random" and recipe.images.image_size is not None:
            images = window(images, drawn.places, size=recipe.images.image_size)
        else:
            images = padded_crop(images, drawn.places)
    if recipe.images.jitter or recipe.images.hue:
        images = jittered(images, strength=recipe.images.jitter, hue=recipe.images.hue, generator=generator)
    if recipe.images.rand_augment and recipe.images.rand_magnitude is not None:
        images = rand_augment(
            images,
            operations=recipe.images.rand_augment,
            magnitude=recipe.images.rand_magnitude,
            magnitudes=recipe.images.rand_magnitudes,
            generator=generator,
        )
    return images
