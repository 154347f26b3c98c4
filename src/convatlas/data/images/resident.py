"""Small images of one size, all of them in memory, on the device on which they are augmented."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.data.augmentation.draws import Draws, before_crop, draw
from convatlas.data.epoch import steps_per_epoch
from convatlas.data.images.protocol import Labels, Targets, label_bytes, short_hash, targets_at, thumbnails_of
from convatlas.data.preprocessing import Preprocessing, Statistics, channel_statistics
from convatlas.device import sent
from convatlas.recipe import Recipe

DRAWN_TOGETHER = 32  # batches: what is drawn for one costs more in calls than in numbers


@dataclass(frozen=True)
class ResidentImages:
    """Images in memory: `pixels` (N, C, H, W) as uint8. A tensor of labels lies on the device of the pixels."""

    pixels: Tensor
    labels: Labels
    index: Tensor

    @property
    def channels(self) -> int:
        return self.pixels.shape[1]

    @property
    def device(self) -> torch.device:
        return self.pixels.device

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, places: Tensor, *, preprocessing: Preprocessing, device: torch.device | None = None) -> Tensor:
        """Returns some images, resized: float32 in [0, 1] (n, C, size, size)."""
        chosen = self.pixels.index_select(0, sent(places, self.device))
        return preprocessing.resize(chosen if device is None else chosen.to(device))

    def batches(
        self, order: Tensor, *, size: int, preprocessing: Preprocessing, device: torch.device | None = None
    ) -> Generator[tuple[Tensor, Targets], None, None]:
        """Yields images, resized, and their targets, for places in an order, `size` at a time."""
        for places in torch.split(sent(order, self.device), size):
            targets = targets_at(self.labels, places)
            if device is not None and isinstance(targets, Tensor):
                targets = targets.to(device)
            yield self.batch(places, preprocessing=preprocessing, device=device), targets

    def training_batches(
        self, order: Tensor, *, recipe: Recipe, preprocessing: Preprocessing, generator: torch.Generator
    ) -> Generator[tuple[Tensor, Targets, Draws], None, None]:
        """Yields resized images, their targets and all changes that the recipe draws for them."""
        size, side = recipe.batch_size, preprocessing.image_size
        resized = preprocessing.whole if recipe.images.crop == "resized" else before_crop(preprocessing, recipe)
        order = sent(order, self.device)
        for step in range(steps_per_epoch(len(order), recipe)):
            start = step * size
            if step % DRAWN_TOGETHER == 0:
                first, count = start, len(order[start : start + DRAWN_TOGETHER * size])
                draws = draw(count, side, side, recipe=recipe, generator=generator, device=self.device)
            places = order[start : start + size]
            drawn = draws.part(start - first, start - first + size)
            images = resized.resize(self.pixels.index_select(0, places))
            yield images, targets_at(self.labels, places), drawn

    def channel_statistics(self, *, image_size: int) -> Statistics:
        """Returns mean and standard deviation of each channel over all pixels as they are stored."""
        return channel_statistics(self.pixels)

    def thumbnails(self, places: Tensor, *, size: int) -> Tensor:
        """Returns small pictures: uint8 (n, channels, size, size)."""
        return thumbnails_of(self, places, size=size)

    def identity(self) -> Iterator[bytes]:
        """Yields the places in the source and the labels."""
        yield self.index.numpy().tobytes()
        yield label_bytes(self.labels)

    def content(self) -> Iterator[bytes]:
        """Yields the pixels of each image."""
        for image in self.pixels.cpu().numpy():
            yield image.tobytes()

    def content_hash(self) -> str:
        """Returns a short sha256 over all pixels."""
        return short_hash(self.content())

    def kept(self) -> ResidentImages:
        """Returns the images themselves, which are in memory."""
        return self

    def to(self, device: str) -> ResidentImages:
        """Returns the same images with pixels and classes on a device."""
        labels = self.labels.to(device) if isinstance(self.labels, Tensor) else self.labels
        return ResidentImages(self.pixels.to(device), labels, self.index)


def unlabelled(pixels: Tensor) -> ResidentImages:
    """Returns pixels (N, C, H, W), uint8 or floats in [0, 1], as images without labels."""
    return ResidentImages(pixels, None, torch.arange(len(pixels)))


def take(pixels: Tensor, labels: Tensor, index: Tensor) -> ResidentImages:
    """Returns the images at `index` with their classes."""
    return ResidentImages(pixels[index].contiguous(), labels[index].to(torch.int64), index.to(torch.int64))
