"""Encoded images in a store, such as files: decoded, cut and resized while the network works."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import repeat

import torch
from torch import Tensor

from convatlas.data.augmentation.draws import Draws, before_crop, draw_after_reading
from convatlas.data.epoch import steps_per_epoch
from convatlas.data.images.decoding import Encoded, read_encoded
from convatlas.data.images.kept import Kept, Shelf
from convatlas.data.images.parts import Crops, FillPart, Squares, kind_of_squares
from convatlas.data.images.protocol import Labels, Targets, label_bytes, short_hash, targets_at, thumbnails_of
from convatlas.data.images.stores import Store
from convatlas.data.images.workers import Fill, completed, worker_count
from convatlas.data.preprocessing import Preprocessing, Statistics, unnormalised
from convatlas.device import sent
from convatlas.errors import UsageError
from convatlas.recipe import Recipe

PART = 16  # images that one worker reads in a row; fixed, because each part has a generator of its own
STATISTICS_IMAGES = 2_000  # from which mean and standard deviation are computed: decoding all could take hours
STATISTICS_SEED = 42
STATISTICS_BATCH = 64
CPU = torch.device("cpu")


@dataclass(frozen=True)
class StreamedImages:
    """Images of a store, read by threads ahead of the network. `index` has the number in the store of each.

    A resized crop and the mirroring of a recipe are made while an image is read, from its own pixels; with another crop
    the image is the one that evaluation sees. Batches are the same for any number of `workers`: by default as many as
    there are cores, with 0 the caller reads; and the same whether decoded pixels are kept in `memory` (`kept`) or not.
    Batches are float32 in channels-last memory.

    The image that evaluation sees is the one that `preprocessing.resize` gives of the file, in whole levels, to 1.05 of
    them (3.7 where bicubic). A JPEG of four times the size needed or more is decoded reduced and then up to 20 levels
    apart, on average 0.3 to 2.6.
    """

    store: Store
    labels: Labels
    index: Tensor
    device: torch.device = CPU
    workers: int | None = None
    memory: Kept | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        worker_count(self.workers)
        if not len(self) or (self.labels is not None and len(self) != len(self.labels)):
            labels = "no" if self.labels is None else len(self.labels)
            raise UsageError(f"{len(self)} image files with {labels} labels; each needs one")

    @property
    def channels(self) -> int:
        return 3

    def __len__(self) -> int:
        return len(self.index)

    def batch(self, places: Tensor, *, preprocessing: Preprocessing, device: torch.device | None = None) -> Tensor:
        """Returns some images as evaluation sees them: float32 in [0, 1] (n, 3, size, size)."""
        return next(self.batches(places, size=max(1, len(places)), preprocessing=preprocessing, device=device))[0]

    def batches(
        self, order: Tensor, *, size: int, preprocessing: Preprocessing, device: torch.device | None = None
    ) -> Generator[tuple[Tensor, Targets], None, None]:
        """Yields images as evaluation sees them, and their targets, for places in an order, `size` at a time."""
        fill = self._squares(_of_colour(preprocessing)).fill
        return self._completed(torch.split(order, size), repeat(fill), preprocessing, device=device or self.device)

    def training_batches(
        self, order: Tensor, *, recipe: Recipe, preprocessing: Preprocessing, generator: torch.Generator
    ) -> Generator[tuple[Tensor, Targets, Draws], None, None]:
        """Yields images, cropped and mirrored as the recipe says, their targets, and the changes still to make."""
        chosen = torch.split(order, recipe.batch_size)[: steps_per_epoch(len(order), recipe)]
        parts = sum(_part_count(places) for places in chosen)
        # All seeds before the first batch: how far the workers read ahead does not change what is drawn after it.
        seeds = torch.randint(2**63 - 1, (parts,), generator=generator).tolist()
        preprocessing = before_crop(preprocessing, recipe)
        if recipe.images.crop == "resized":
            fill = Crops(
                self.store, self._shelf(("whole", preprocessing.image_size)), _of_colour(preprocessing).image_size
            ).fill
        else:
            fill = self._squares(_of_colour(preprocessing)).fill_mirrored
        fills = (partial(fill, recipe=recipe, seed=seed) for seed in seeds)
        for images, targets in self._completed(chosen, fills, preprocessing, device=self.device):
            drawn = draw_after_reading(len(images), recipe=recipe, generator=generator, device=self.device)
            yield images, targets, drawn

    def channel_statistics(self, *, image_size: int) -> Statistics:
        """Returns mean and standard deviation of each channel over 2,000 images, drawn with one seed, or over all."""
        generator = torch.Generator().manual_seed(STATISTICS_SEED)
        places = torch.randperm(len(self), generator=generator)[:STATISTICS_IMAGES].sort().values
        plain = unnormalised(image_size, channels=3)
        sums, squares = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
        for images, _ in self.batches(places, size=STATISTICS_BATCH, preprocessing=plain, device=CPU):
            values = images.to(torch.float64).transpose(0, 1).flatten(1)
            sums += values.sum(1)
            squares += values.square().sum(1)
        mean = sums / (len(places) * image_size**2)
        std = (squares / (len(places) * image_size**2) - mean.square()).clamp(min=0).sqrt()
        return tuple(mean.tolist()), tuple(std.tolist())

    def thumbnails(self, places: Tensor, *, size: int) -> Tensor:
        """Returns small pictures: uint8 (n, 3, size, size)."""
        return thumbnails_of(self, places, size=size)

    def identity(self) -> Iterator[bytes]:
        """Yields the names in the store and the labels."""
        for number in self.index.tolist():
            yield self.store.name(number).encode("utf-8", "surrogateescape") + b"\0"
        yield label_bytes(self.labels)

    def content(self) -> Iterator[bytes]:
        """Yields the sha256 of each encoded image. Raises `UsageError` for one that cannot be read."""
        for number in self.index.tolist():
            yield self.store.digest(number)

    def content_hash(self) -> str:
        """Returns a short sha256 over all encoded images."""
        return short_hash(self.content())

    def kept(self) -> StreamedImages:
        """Returns the same images for many epochs: what is decoded stays in memory, as far as that suffices."""
        return replace(self, memory=Kept())

    def headers(self, count: int) -> Iterator[Encoded]:
        """Yields `count` images or all, evenly spread, with their headers read. Raises `UsageError` as `batch` does."""
        places = torch.linspace(0, len(self) - 1, min(count, len(self))).long()
        for number in self.index[places].tolist():
            yield read_encoded(self.store.read(number), self.store.shown(number))

    def to(self, device: str) -> StreamedImages:
        """Returns the same images with batches that arrive on a device. Labels stay on the CPU."""
        return replace(self, device=torch.device(device))

    def _squares(self, preprocessing: Preprocessing) -> Squares:
        return Squares(self.store, self._shelf(kind_of_squares(preprocessing)), preprocessing)

    def _shelf(self, kind: Hashable) -> Shelf:
        return Shelf(0) if self.memory is None else self.memory.shelf(kind)

    def _completed(
        self, chosen: Iterable[Tensor], fills: Iterable[FillPart], preprocessing: Preprocessing, *, device: torch.device
    ) -> Generator[tuple[Tensor, Targets], None, None]:
        """Yields the images and targets of each tensor of places; `fills` has a function for each part of each."""
        jobs = self.jobs(chosen, fills, size=preprocessing.image_size)
        for pixels, places in completed(jobs, workers=worker_count(self.workers)):
            targets = targets_at(self.labels, places)
            if isinstance(targets, Tensor):
                targets = sent(targets, device)
            yield sent(pixels, device).to(torch.float32).div_(255), targets

    def jobs(
        self, chosen: Iterable[Tensor], fills: Iterable[FillPart], *, size: int
    ) -> Iterator[tuple[tuple[Tensor, Tensor], list[Fill]]]:
        """Yields for each tensor of places an empty batch uint8 (n, 3, size, size), and what fills each part of it."""
        fills = iter(fills)
        for places in chosen:
            images = torch.empty((len(places), 3, size, size), dtype=torch.uint8, memory_format=torch.channels_last)
            squares = images.permute(0, 2, 3, 1).numpy()
            numbers = self.index[places].tolist()
            parts: list[Fill] = [
                partial(fill, numbers[start : start + PART], squares[start : start + PART])
                for start, fill in zip(range(0, len(numbers), PART), fills, strict=False)
            ]
            yield (images, places), parts


def _part_count(places: Tensor) -> int:
    return -(-len(places) // PART)


def _of_colour(preprocessing: Preprocessing) -> Preprocessing:
    """Returns it. Raises `UsageError` for a network that takes other than three channels."""
    if len(preprocessing.mean) != 3:
        raise UsageError(f"image files are streamed with 3 channels; the network takes {len(preprocessing.mean)}")
    return preprocessing
