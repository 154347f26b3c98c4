"""The parts of a batch of streamed images: each is filled by one worker, from a store or from what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np
import torch

from convatlas.data.augmentation.crops import rectangles_in
from convatlas.data.images.cutting import as_array, cut_out, place, seen
from convatlas.data.images.decoding import Decoded, Encoded, read_encoded
from convatlas.data.images.kept import Shelf
from convatlas.data.images.stores import Store
from convatlas.data.preprocessing import Preprocessing
from convatlas.recipe import Recipe

FillPart = Callable[[list[int], np.ndarray], None]  # puts images of a store, by number, into uint8 (n, size, size, 3)


@dataclass(frozen=True)
class Squares:
    """Images as evaluation sees them. They are the same in every epoch: the shelf keeps them as they are."""

    store: Store
    shelf: Shelf
    preprocessing: Preprocessing

    def fill(self, numbers: list[int], squares: np.ndarray) -> None:
        """Puts images into their places."""
        for number, square in zip(numbers, squares, strict=True):
            place(self._square(number), square)

    def fill_mirrored(self, numbers: list[int], squares: np.ndarray, *, recipe: Recipe, seed: int) -> None:
        """Puts images into their places, some of them mirrored as a recipe says."""
        generator = torch.Generator().manual_seed(seed)
        _rectangles(torch.ones(len(numbers), 2), recipe=recipe, generator=generator)  # for the numbers drawn after it
        mirrored = _mirrored(len(numbers), recipe=recipe, generator=generator)
        for number, square, turned in zip(numbers, squares, mirrored, strict=True):
            place(self._square(number), square, mirrored=turned)

    def _square(self, number: int) -> np.ndarray:
        pixels = self.shelf.get(number)
        if pixels is None:
            pixels = as_array(seen(_encoded(self.store, number), self.preprocessing))
            self.shelf.put(number, pixels)
        return pixels


@dataclass(frozen=True)
class Crops:
    """Random rectangles of whole images. The shelf keeps the images of which no rectangle is decoded reduced."""

    store: Store
    shelf: Shelf
    size: int

    def fill(self, numbers: list[int], squares: np.ndarray, *, recipe: Recipe, seed: int) -> None:
        """Draws for all images of a part at once, then decodes them one after the other."""
        generator = torch.Generator().manual_seed(seed)
        images = [self._image(number) for number in numbers]
        sizes = torch.tensor([(image.height, image.width) for image in images])
        rectangles = _rectangles(sizes, recipe=recipe, generator=generator)
        mirrored = _mirrored(len(images), recipe=recipe, generator=generator)
        for place_in_part, (number, image) in enumerate(zip(numbers, images, strict=True)):
            cut = cut_out(self._decoded(number, image), rectangles[place_in_part], size=self.size)
            place(as_array(cut), squares[place_in_part], mirrored=mirrored[place_in_part])

    def _image(self, number: int) -> Encoded | Decoded:
        pixels = self.shelf.get(number)
        return _encoded(self.store, number) if pixels is None else Decoded(pixels)

    def _decoded(self, number: int, image: Encoded | Decoded) -> Encoded | Decoded:
        """Returns an image decoded, and keeps it, where all its rectangles are cut from all its pixels."""
        if isinstance(image, Decoded) or not self.shelf.room or is_reduced(image, size=self.size):
            return image
        pixels = image.pixels()
        self.shelf.put(number, pixels)
        return Decoded(pixels)


def is_reduced(image: Encoded, *, size: int) -> bool:
    """Returns whether a rectangle of an image may be decoded reduced, so that its pixels are not those of the whole."""
    return image.reduction(height=image.height, width=image.width, size=size) > 1


def kind_of_squares(preprocessing: Preprocessing) -> Hashable:
    """Returns what decides the pixels of a square: the preprocessing without the normalisation."""
    crop, pad = preprocessing.fit == "crop", preprocessing.fit == "pad"
    return (
        *("square", preprocessing.image_size, preprocessing.interpolation, preprocessing.fit),
        preprocessing.shorter_side if crop else None,
        preprocessing.mean if pad else None,  # of the border
    )


def _encoded(store: Store, number: int) -> Encoded:
    return read_encoded(store.read(number), store.shown(number))


def _rectangles(sizes: torch.Tensor, *, recipe: Recipe, generator: torch.Generator) -> list[list[int]]:
    scale, ratio = recipe.images.crop_scale, recipe.images.crop_ratio
    drawn: list[list[int]] = rectangles_in(sizes, scale=scale, ratio=ratio, generator=generator).int().tolist()
    return drawn


def _mirrored(count: int, *, recipe: Recipe, generator: torch.Generator) -> list[bool]:
    drawn: list[bool] = (torch.rand(count, generator=generator) < recipe.images.flip).tolist()
    return drawn
