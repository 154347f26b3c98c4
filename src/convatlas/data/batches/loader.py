"""The batches of an epoch, for images in memory and in files alike; each epoch comes from a seed of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import torch
from torch import Tensor

from convatlas.data.augmentation.draws import changed
from convatlas.data.batches.order import epoch_order
from convatlas.data.batches.stage import Stage, mixes
from convatlas.data.epoch import steps_per_epoch
from convatlas.data.images.protocol import Images, Targets, class_labels
from convatlas.data.preprocessing import Preprocessing
from convatlas.recipe import Recipe


class TrainingBatches:
    """The shuffled, augmented, normalised batches of one epoch: (images (n, C, size, size), targets).

    Targets are the labels of the images, or probabilities (n, num_classes) where the recipe mixes images. Everything
    random is drawn from a generator with `seed`, so that an epoch can be repeated without the ones before it
    (`epoch_seed`). The last, smaller batch is left out if the recipe says so. Raises `UsageError` for a recipe that
    mixes images which have no classes, or balances them.
    """

    def __init__(
        self, images: Images, *, recipe: Recipe, preprocessing: Preprocessing, num_classes: int, seed: int
    ) -> None:
        if mixes(recipe):
            class_labels(images, needed_by="mixup or cutmix in the recipe")
        if recipe.sampling == "balanced":
            class_labels(images, needed_by="sampling=balanced in the recipe")
        self.images = images
        self.stage = Stage(recipe, preprocessing, num_classes)
        self.seed = seed

    def __len__(self) -> int:
        return steps_per_epoch(len(self.images), self.stage.recipe)

    def __iter__(self) -> Iterator[tuple[Tensor, Targets]]:
        generator = torch.Generator().manual_seed(self.seed)
        recipe, preprocessing = self.stage.recipe, self.stage.preprocessing
        order = epoch_order(self.images, recipe, generator=generator)
        read = self.images.training_batches(order, recipe=recipe, preprocessing=preprocessing, generator=generator)
        with closing(read) as batches:
            for images, targets, drawn in batches:
                yield self.stage(images, targets, drawn, generator=generator)


class EvaluationBatches:
    """The images from the place `first` on, in order, as a network is asked about them: normalised, with their targets.

    They are computed on `device`, by default on that of the images.
    """

    def __init__(
        self,
        images: Images,
        *,
        preprocessing: Preprocessing,
        batch_size: int,
        first: int = 0,
        device: torch.device | None = None,
    ) -> None:
        self.images = images
        self.preprocessing = preprocessing
        self.batch_size = batch_size
        self.first = first
        self.device = device

    def __len__(self) -> int:
        return -(-(len(self.images) - self.first) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Targets]]:
        read = self.images.batches(
            torch.arange(self.first, len(self.images)),
            size=self.batch_size,
            preprocessing=self.preprocessing,
            device=self.device,
        )
        with closing(read) as batches:
            for images, targets in batches:
                yield self.preprocessing.normalize(images), targets


def augmented_images(
    images: Images, places: Tensor, *, recipe: Recipe, preprocessing: Preprocessing, seed: int
) -> Tensor:
    """Returns some images as an epoch of that seed might show them, before normalisation: (n, C, size, size) in [0, 1].

    They are drawn together, in the order of `places`.
    """
    alone = recipe.with_values(batch_size=len(places), accumulate=1)
    generator = torch.Generator().manual_seed(seed)
    read = images.training_batches(places, recipe=alone, preprocessing=preprocessing, generator=generator)
    with closing(read) as batches:
        found, _, drawn = next(batches)
        return changed(found, drawn, recipe=alone, generator=generator)
