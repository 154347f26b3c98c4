"""Batches of large images: decoded, cut and resized while the network works, each epoch from its own seed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from convatlas.data.augmentation.crops import rectangles_in
from convatlas.data.batches.loader import steps_per_epoch
from convatlas.data.images.decoding import Encoded, read_encoded
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.recipe import Recipe

PART = 16  # images that one worker reads in a row; fixed, because each part has a generator of its own

Batch = tuple[Tensor, Tensor]
Fill = Callable[[], None]  # decodes the images of one part into their places in the batch


@dataclass(frozen=True)
class ImageFiles:
    """Image files and their labels (N,), not yet read."""

    paths: Sequence[Path]
    labels: Tensor

    def __post_init__(self) -> None:
        if not self.paths or len(self.paths) != len(self.labels):
            raise UsageError(f"{len(self.paths)} image files with {len(self.labels)} labels; each needs one")

    def __len__(self) -> int:
        return len(self.paths)


class StreamedTraining:
    """The shuffled batches of one epoch, uint8 images (n, 3, size, size) in channels-last memory and labels (n,).

    The recipe's resized crop and flip are made here, image by image, the crop bilinearly and antialiased; with another
    crop the image is what evaluation sees. All else that a recipe changes is arithmetic on the batch and comes after:
    `pad4`, RandAugment, `preprocessing.normalize(images / 255)`, cutout, mixing.

    Everything random is drawn from a generator with `seed` (`epoch_seed`), whatever the number of `workers`.
    """

    def __init__(
        self,
        files: ImageFiles,
        *,
        recipe: Recipe,
        preprocessing: Preprocessing,
        seed: int,
        workers: int | None = None,
    ) -> None:
        self.files = files
        self.recipe = recipe
        self.preprocessing = _of_colour(preprocessing)
        self.seed = seed
        self.workers = _counted(workers)

    def __len__(self) -> int:
        return steps_per_epoch(len(self.files), self.recipe)

    def __iter__(self) -> Iterator[Batch]:
        return completed(self._jobs(), workers=self.workers)

    def _jobs(self) -> Iterator[tuple[Batch, list[Fill]]]:
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(self.files), generator=generator)
        for chosen in torch.split(order, self.recipe.batch_size)[: len(self)]:
            seeds = torch.randint(2**63 - 1, (-(-len(chosen) // PART),), generator=generator).tolist()
            fills = [partial(self._fill, seed=seed) for seed in seeds]
            yield _job(self.files, chosen, size=self.preprocessing.image_size, fills=fills)

    def _fill(self, paths: list[Path], squares: np.ndarray, *, seed: int) -> None:
        """Draws for all images of a part at once, then decodes them one after the other."""
        generator = torch.Generator().manual_seed(seed)
        images = [read_encoded(path) for path in paths]
        sizes = torch.tensor([(image.height, image.width) for image in images])
        scale, ratio = self.recipe.images.crop_scale, self.recipe.images.crop_ratio
        rectangles = rectangles_in(sizes, scale=scale, ratio=ratio, generator=generator).int().tolist()
        mirrored = (torch.rand(len(images), generator=generator) < self.recipe.images.flip).tolist()
        for place, image in enumerate(images):
            if self.recipe.images.crop == "resized":
                square = cut_out(image, rectangles[place], size=self.preprocessing.image_size)
            else:
                square = centre(image, self.preprocessing)
            _place(square, squares[place], mirrored=mirrored[place])


class StreamedEvaluation:
    """All images in order: uint8 (n, 3, size, size) in channels-last memory and labels (n,).

    Each is what `preprocessing.resize` gives of the image, in whole levels, to 1.05 of them (3.7 where bicubic);
    `preprocessing.normalize(images / 255)` comes after. A JPEG of four times the size needed or more is decoded reduced
    and then up to 20 levels apart, on average 0.3 to 2.6.
    """

    def __init__(
        self, files: ImageFiles, *, preprocessing: Preprocessing, batch_size: int, workers: int | None = None
    ) -> None:
        self.files = files
        self.preprocessing = _of_colour(preprocessing)
        self.batch_size = batch_size
        self.workers = _counted(workers)

    def __len__(self) -> int:
        return -(-len(self.files) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return completed(self._jobs(), workers=self.workers)

    def _jobs(self) -> Iterator[tuple[Batch, list[Fill]]]:
        for chosen in torch.split(torch.arange(len(self.files)), self.batch_size):
            fills = [self._fill] * -(-len(chosen) // PART)
            yield _job(self.files, chosen, size=self.preprocessing.image_size, fills=fills)

    def _fill(self, paths: list[Path], squares: np.ndarray) -> None:
        for place, path in enumerate(paths):
            _place(centre(read_encoded(path), self.preprocessing), squares[place])


def cut_out(image: Encoded, rectangle: Sequence[int], *, size: int) -> Tensor:
    """A part (top, left, height, width) of an image, resized to uint8 (1, 3, size, size).

    A reduced image is cut at its nearest whole pixels, at most a quarter of one of the result's from the exact place.
    """
    top, left, height, width = rectangle
    reduction = image.reduction(height=height, width=width, size=size)
    rows, columns = (
        slice(*((2 * edge + reduction) // (2 * reduction) for edge in (start, start + length)))
        for start, length in ((top, height), (left, width))
    )
    pixels = _as_images(image.pixels(reduction=reduction)[rows, columns])
    return F.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)


def centre(image: Encoded, preprocessing: Preprocessing) -> Tensor:
    """The part of an image that evaluation sees, uint8 (1, 3, size, size)."""
    side = preprocessing.shorter_side or preprocessing.image_size
    reduction = image.reduction(height=image.height, width=image.width, size=side)
    extent = image.height / reduction, image.width / reduction
    return preprocessing.framed(_as_images(image.pixels(reduction=reduction)), extent=extent)


def _as_images(pixels: np.ndarray) -> Tensor:
    """uint8 (H, W, 3) -> (1, 3, H, W) in channels-last memory, for which PyTorch resizes with vector instructions."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).unsqueeze(0).permute(0, 3, 1, 2)


def _place(image: Tensor, square: np.ndarray, *, mirrored: bool = False) -> None:
    """Copies uint8 (1, 3, size, size) to (size, size, 3). By NumPy: PyTorch would start threads in every worker."""
    pixels = image[0].permute(1, 2, 0).numpy()
    if not mirrored:
        square[:] = pixels
        return
    for channel in range(3):  # four times as fast as whole pixels in reverse
        square[..., channel] = pixels[:, ::-1, channel]


# ------------------------------------------------------------------------------------------------------------- workers


def completed(jobs: Iterable[tuple[Batch, list[Fill]]], *, workers: int) -> Iterator[Batch]:
    """Batches in order, each when all its parts are filled; further ones are filled meanwhile.

    With 0 workers the caller fills them himself. The first error of a part is raised, in the order of the parts. When
    the iteration ends, however it ends, no thread is left.
    """
    # Threads, not processes: all that takes time (reading, decoding, resizing) releases Python's lock. bench/loader.py
    # measures both ways; threads read more images a second than as many processes, which have each batch to hand over,
    # start at once and end with the iteration.
    if not workers:
        for batch, parts in jobs:
            for fill in parts:
                fill()
            yield batch
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="convatlas-images")
    waiting: deque[tuple[Batch, list[Future[None]]]] = deque()
    try:
        for batch, parts in jobs:
            waiting.append((batch, [pool.submit(fill) for fill in parts]))
            if len(waiting) > 2 and sum(len(futures) for _, futures in waiting) >= 3 * workers:
                yield _filled(*waiting.popleft())
        while waiting:
            yield _filled(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _filled(batch: Batch, futures: list[Future[None]]) -> Batch:
    for future in futures:
        future.result()
    return batch


def _job(
    files: ImageFiles, chosen: Tensor, *, size: int, fills: Sequence[Callable[[list[Path], np.ndarray], None]]
) -> tuple[Batch, list[Fill]]:
    """An empty batch of the chosen images, and for each part of it what fills it."""
    images = torch.empty((len(chosen), 3, size, size), dtype=torch.uint8, memory_format=torch.channels_last)
    squares = images.permute(0, 2, 3, 1).numpy()
    paths = [files.paths[index] for index in chosen.tolist()]
    parts: list[Fill] = [
        partial(fill, paths[start : start + PART], squares[start : start + PART])
        for fill, start in zip(fills, range(0, len(paths), PART), strict=True)
    ]
    return (images, files.labels[chosen]), parts


def _counted(workers: int | None) -> int:
    """The number of workers: as many as this process may use cores where none is given."""
    if workers is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return cores or 1
    if workers < 0:
        raise UsageError(f"{workers} workers are not possible; 0 or more are, 0 for none beside the caller")
    return workers


def _of_colour(preprocessing: Preprocessing) -> Preprocessing:
    """Raises `UsageError` for a network that takes other than three channels."""
    if len(preprocessing.mean) != 3:
        raise UsageError(f"image files are streamed with 3 channels; the network takes {len(preprocessing.mean)}")
    return preprocessing
