"""Batches of unlabelled images in several views, each view with changes of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import torch
from torch import Tensor

from convatlas.data.augmentation.draws import draw
from convatlas.data.batches.order import epoch_order
from convatlas.data.batches.stage import Stage
from convatlas.data.epoch import stream_seed
from convatlas.data.images.protocol import Images
from convatlas.data.preprocessing import Preprocessing
from convatlas.recipe import Recipe

UNCHANGED = {
    **{"flip": 0.0, "crop": "none", "jitter": 0.0, "hue": 0.0},
    **{"rand_augment": 0, "rand_magnitude": None, "rand_magnitudes": "fixed"},
}
RESIZED = {"crop_scale": (0.8, 1.0), "crop_ratio": (0.9, 1.1)}  # the defaults, which a recipe without such a crop has


class ViewBatches:
    """The batches of one epoch, each a tuple of views (n, C, size, size): the same images, changed by each recipe.

    The images are read once, and all changes are made on the batch. `recipes` have the number of images in a batch and
    of batches in an epoch (`epoch_steps`). The order comes from (seed, epoch), the changes of a batch from (seed,
    epoch, batch) and from nothing that was drawn before.
    """

    def __init__(
        self, images: Images, *, recipes: Sequence[Recipe], preprocessing: Preprocessing, seed: int, epoch: int
    ) -> None:
        self.images = images
        self.recipe = recipes[0].with_values(**UNCHANGED, **RESIZED, cutout=0)
        self.stages = [Stage(recipe, preprocessing, num_classes=0) for recipe in recipes]
        self.preprocessing = preprocessing
        self.seeds = (seed, epoch)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        generator = torch.Generator().manual_seed(stream_seed(*self.seeds))
        order = epoch_order(self.images, self.recipe, generator=generator)
        read = self.images.training_batches(
            order, recipe=self.recipe, preprocessing=self.preprocessing, generator=generator
        )
        with closing(read) as batches:
            for number, (images, _, _) in enumerate(batches):
                generator = torch.Generator().manual_seed(stream_seed(*self.seeds, 1 + number))
                yield tuple(self._view(images, stage, generator) for stage in self.stages)

    def _view(self, images: Tensor, stage: Stage, generator: torch.Generator) -> Tensor:
        """Returns the images with changes that are drawn now."""
        count, _, height, width = images.shape
        drawn = draw(count, height, width, recipe=stage.recipe, generator=generator, device=images.device)
        return stage(images, None, drawn, generator=generator)[0]
