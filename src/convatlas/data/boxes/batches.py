"""Batches of images with boxes, for training and for evaluation; the images are read ahead by threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from convatlas.data.batches.order import epoch_order
from convatlas.data.boxes.augmentation import BoxChanges, Layer, layers_of
from convatlas.data.boxes.placement import Placement, fitted, put
from convatlas.data.boxes.truth import Boxes, box_labels
from convatlas.data.epoch import steps_per_epoch
from convatlas.data.images.decoding import read_encoded
from convatlas.data.images.kept import Shelf
from convatlas.data.images.protocol import Images
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.images.workers import Fill, completed, worker_count
from convatlas.data.preprocessing import Preprocessing
from convatlas.device import sent
from convatlas.errors import UsageError
from convatlas.recipe import Recipe

PART = 4  # images that one worker reads in a row


class PaddedBoxes(NamedTuple):
    """The boxes of a batch in pixels of the square, padded with -1 to the most of an image, or to one.

    `corners` float32 (n, M, 4), `labels` int64 (n, M), and `ignored` bool (n, M) for difficult boxes.
    """

    corners: Tensor
    labels: Tensor
    ignored: Tensor

    def to(self, device: torch.device) -> PaddedBoxes:
        """Returns the same on a device."""
        return PaddedBoxes(*(sent(each, device) for each in self))


class BoxBatches:
    """The shuffled, changed, normalised batches of one epoch: (images float32 (n, 3, size, size), their boxes).

    The recipe says how many images a batch has and in which order they come. Everything random is drawn from `seed`
    (`epoch_seed`) and is the same for any number of workers: each image has a seed of its own. Around an image lies the
    mean colour. Raises `UsageError` for images without boxes.
    """

    def __init__(
        self, images: Images, *, recipe: Recipe, preprocessing: Preprocessing, changes: BoxChanges, seed: int
    ) -> None:
        self.images = _streamed(images, needed_by="training a detector")
        self.boxes = box_labels(images)
        self.recipe, self.preprocessing, self.changes = recipe, preprocessing, changes
        self.seed = seed

    def __len__(self) -> int:
        return steps_per_epoch(len(self.images), self.recipe)

    def __iter__(self) -> Iterator[tuple[Tensor, PaddedBoxes]]:
        generator = torch.Generator().manual_seed(self.seed)
        order = epoch_order(self.images, self.recipe, generator=generator)
        seeds = torch.randint(2**63 - 1, (len(order),), generator=generator)
        chosen = torch.split(torch.stack([order, seeds], 1), self.recipe.batch_size)[: len(self)]
        drawn = ([self._layers(*each) for each in batch.tolist()] for batch in chosen)
        for images, layers in squares(self.images, drawn, preprocessing=self.preprocessing):
            yield images, padded([self._truth(each) for each in layers]).to(self.images.device)

    def _layers(self, place: int, seed: int) -> list[Layer]:
        return layers_of(place, self.boxes, self.changes, size=self.preprocessing.image_size, seed=seed)

    def _truth(self, layers: Sequence[Layer]) -> Boxes:
        """Returns the boxes of all layers in the square."""
        size = self.preprocessing.image_size
        seen = [layer.placement.visible(self.boxes[layer.image])[0] for layer in layers]
        corners, labels, difficult = (
            np.concatenate([getattr(each, name) for each in seen]) for name in ("corners", "labels", "difficult")
        )
        return Boxes(corners, labels, difficult, size, size)


class BoxEvaluationBatches:
    """The images in order, as a detector is asked about them: normalised (n, 3, size, size), and their placements.

    `Placement.backward` brings boxes in the square back to the image.
    """

    def __init__(self, images: Images, *, preprocessing: Preprocessing, batch_size: int) -> None:
        self.images = _streamed(images, needed_by="evaluating a detector")
        self.boxes = box_labels(images)
        self.preprocessing, self.batch_size = preprocessing, batch_size

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, list[Placement]]]:
        size = self.preprocessing.image_size
        layers = [[Layer(place, fitted(each.width, each.height, size=size))] for place, each in enumerate(self.boxes)]
        batches = (layers[start : start + self.batch_size] for start in range(0, len(layers), self.batch_size))
        for images, placed in squares(self.images, batches, preprocessing=self.preprocessing):
            yield images, [own[0].placement for own in placed]


def padded(boxes: Sequence[Boxes]) -> PaddedBoxes:
    """Returns the boxes of some images in tensors of one size."""
    most = max(1, *map(len, boxes))
    corners, labels = torch.full((len(boxes), most, 4), -1.0), torch.full((len(boxes), most), -1)
    ignored = torch.zeros((len(boxes), most), dtype=torch.bool)
    for row, own in enumerate(boxes):
        corners[row, : len(own)] = torch.from_numpy(own.corners)
        labels[row, : len(own)] = torch.from_numpy(own.labels)
        ignored[row, : len(own)] = torch.from_numpy(own.difficult)
    return PaddedBoxes(corners, labels, ignored)


def squares(
    images: StreamedImages, batches: Iterable[list[list[Layer]]], *, preprocessing: Preprocessing
) -> Iterator[tuple[Tensor, list[list[Layer]]]]:
    """Yields the normalised squares (n, 3, size, size) of batches of layers, on the images' device, and the layers."""
    shelf = Shelf(0) if images.memory is None else images.memory.shelf("whole images with boxes")
    fill = partial(_fill, images, shelf, border(preprocessing))

    def jobs() -> Iterator[tuple[tuple[Tensor, list[list[Layer]]], list[Fill]]]:
        for layers in batches:
            size = (len(layers), 3, preprocessing.image_size, preprocessing.image_size)
            pixels = torch.empty(size, dtype=torch.uint8, memory_format=torch.channels_last)
            arrays = pixels.permute(0, 2, 3, 1).numpy()
            starts = range(0, len(layers), PART)
            yield (pixels, layers), [partial(fill, layers[at : at + PART], arrays[at : at + PART]) for at in starts]

    with closing(completed(jobs(), workers=worker_count(images.workers))) as filled:
        for pixels, layers in filled:
            scaled = sent(pixels, images.device).to(torch.float32).div_(255)
            yield preprocessing.normalize(scaled), layers


def border(preprocessing: Preprocessing) -> np.ndarray:
    """Returns the colour around an image, uint8 (3,): the mean that normalisation takes away, in whole levels."""
    return np.array([round(min(max(mean, 0.0), 1.0) * 255) for mean in preprocessing.mean], np.uint8)


def _fill(
    images: StreamedImages, shelf: Shelf, colour: np.ndarray, layers: Sequence[Sequence[Layer]], squares: np.ndarray
) -> None:
    """Puts the layers of some training images into their squares."""
    for own, square in zip(layers, squares, strict=True):
        square[:] = colour
        for layer in own:
            put(_pixels(images, shelf, layer), layer.placement, square)


def _pixels(images: StreamedImages, shelf: Shelf, layer: Layer) -> np.ndarray:
    """Returns a whole image uint8 (H, W, 3). Raises `UsageError` where its annotation states another size."""
    number = int(images.index[layer.image])
    pixels = shelf.get(number)
    if pixels is None:
        encoded = read_encoded(images.store.read(number), images.store.shown(number))
        stated = (layer.placement.width, layer.placement.height)
        if (encoded.width, encoded.height) != stated:
            raise UsageError(
                f"{encoded.name} has {encoded.width} x {encoded.height} pixels and its annotation says {stated[0]} x "
                f"{stated[1]}, so that its boxes are elsewhere; correct it; `convatlas data check` shows all of them"
            )
        pixels = encoded.pixels()
        shelf.put(number, pixels)
    return pixels


def _streamed(images: Images, *, needed_by: str) -> StreamedImages:
    box_labels(images, needed_by=needed_by)
    if isinstance(images, StreamedImages):
        return images
    raise UsageError(f"{needed_by} needs encoded images, not {type(images).__name__}")
