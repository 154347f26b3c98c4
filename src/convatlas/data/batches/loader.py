"""Batches of small images that stay on the device: no worker processes, each epoch's order from its own seed."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from convatlas.data.augmentation.draws import changed, draw
from convatlas.data.augmentation.mixing import cutmix, cutout, mixup
from convatlas.data.dataset import Split
from convatlas.data.preprocessing import Preprocessing
from convatlas.device import sent
from convatlas.recipe import Recipe

DRAWN_TOGETHER = 32  # batches: what is drawn for one costs more in calls than in numbers


class TrainingBatches:
    """The shuffled, augmented, normalised batches of one epoch: (images (n, C, size, size), targets).

    Targets are the labels (n,), or probabilities (n, num_classes) where the recipe mixes images. Everything random is
    drawn from a generator with `seed`, so that an epoch can be repeated without the ones before it (`epoch_seed`). The
    last, smaller batch is left out if the recipe says so.
    """

    def __init__(
        self, split: Split, *, recipe: Recipe, preprocessing: Preprocessing, num_classes: int, seed: int
    ) -> None:
        self.split = split
        self.recipe = recipe
        self.preprocessing = preprocessing
        self.num_classes = num_classes
        self.seed = seed

    def __len__(self) -> int:
        return steps_per_epoch(len(self.split), self.recipe)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(self.seed)
        size, device, side = self.recipe.batch_size, self.split.labels.device, self.preprocessing.image_size
        order = sent(torch.randperm(len(self.split), generator=generator), device)
        for step in range(len(self)):
            start = step * size
            if step % DRAWN_TOGETHER == 0:
                first, count = start, len(order[start : start + DRAWN_TOGETHER * size])
                draws = draw(count, side, side, recipe=self.recipe, generator=generator, device=device)
            chosen = order[start : start + size]
            drawn = draws.part(start - first, start - first + size)
            images = self.preprocessing.resize(self.split.images.index_select(0, chosen))
            images = changed(images, drawn, recipe=self.recipe, generator=generator)
            yield self._mixed(
                self.preprocessing.normalize(images), self.split.labels.index_select(0, chosen), generator=generator
            )

    def _mixed(self, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """What is done to normalised images: a square at the mean, and two images in one."""
        recipe = self.recipe
        if recipe.images.cutout:
            images = cutout(images, size=recipe.images.cutout, generator=generator)
        if not recipe.loss.mixup and not recipe.loss.cutmix:
            return images, labels
        targets = F.one_hot(labels, self.num_classes).to(images.dtype)
        both = bool(recipe.loss.mixup and recipe.loss.cutmix)
        if recipe.loss.mixup and not (both and torch.rand((), generator=generator) < 0.5):
            return mixup(images, targets, alpha=recipe.loss.mixup, generator=generator)
        return cutmix(images, targets, alpha=recipe.loss.cutmix, generator=generator)


class EvaluationBatches:
    """All images in order, as uint8 batches (images, labels); the network's own preprocessing comes after."""

    def __init__(self, split: Split, *, batch_size: int) -> None:
        self.split = split
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.split) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self.split), self.batch_size):
            part = slice(start, start + self.batch_size)
            yield self.split.images[part], self.split.labels[part]


def steps_per_epoch(count: int, recipe: Recipe) -> int:
    """The optimizer steps of one epoch over `count` images; a set smaller than a batch is one step."""
    whole, rest = divmod(count, recipe.batch_size)
    return whole if whole and (recipe.drop_last or not rest) else whole + 1


def smallest_part(count: int, recipe: Recipe) -> int:
    """The fewest images that pass through the network together in an epoch over `count` images.

    >>> from convatlas.recipe import recipe
    >>> smallest_part(1000, recipe("quick").replaced(accumulate=4)), smallest_part(1001, recipe("he_cifar"))
    (8, 105)
    """
    whole, rest = divmod(count, recipe.batch_size)
    sizes = ([recipe.batch_size] if whole else []) + ([rest] if rest and not (whole and recipe.drop_last) else [])
    return min(size // min(recipe.optimizer.accumulate, size) for size in sizes)


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of one epoch of one run; a multiplier keeps neighbouring seeds and epochs apart."""
    return (seed * 1_000_003 + epoch) % 2**63
