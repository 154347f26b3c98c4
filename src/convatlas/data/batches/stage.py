"""The stage that every training batch passes through, wherever its images lie: augmentation, normalisation, mixing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from convatlas.data.augmentation.draws import Draws, changed
from convatlas.data.augmentation.mixing import cutmix, cutout, mixup
from convatlas.data.images.protocol import Targets
from convatlas.data.preprocessing import Preprocessing
from convatlas.recipe import Recipe


@dataclass(frozen=True)
class Stage:
    """The changes of whole batches by a recipe, and the normalisation between them.

    Targets pass untouched, but where the recipe mixes images: then classes (n,) become probabilities (n, num_classes).
    """

    recipe: Recipe
    preprocessing: Preprocessing
    num_classes: int

    def __call__(
        self, images: Tensor, targets: Targets, drawn: Draws, *, generator: torch.Generator
    ) -> tuple[Tensor, Targets]:
        """Returns float images in [0, 1] (n, C, size, size) as the network is trained on them, and their targets."""
        images = changed(images, drawn, recipe=self.recipe, generator=generator)
        images = self.preprocessing.normalize(images)
        if self.recipe.images.cutout:
            images = cutout(images, size=self.recipe.images.cutout, generator=generator)
        return self._mixed(images, targets, generator=generator) if mixes(self.recipe) else (images, targets)

    def _mixed(self, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Returns every image mixed with another one, and their classes as probabilities."""
        recipe = self.recipe
        targets = F.one_hot(labels, self.num_classes).to(images.dtype)
        both = bool(recipe.loss.mixup and recipe.loss.cutmix)
        if recipe.loss.mixup and not (both and torch.rand((), generator=generator) < 0.5):
            return mixup(images, targets, alpha=recipe.loss.mixup, generator=generator)
        return cutmix(images, targets, alpha=recipe.loss.cutmix, generator=generator)


def mixes(recipe: Recipe) -> bool:
    """Returns whether a recipe makes one image of two, for which it needs their classes."""
    return bool(recipe.loss.mixup or recipe.loss.cutmix)
