"""The order of an epoch: shuffled, or so that each class comes equally often."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from convatlas.data.images.protocol import Images, class_labels
from convatlas.recipe import Recipe


def epoch_order(images: Images, recipe: Recipe, *, generator: Generator) -> Tensor:
    """Returns the places of an epoch's images in their order: each of N images once, in the usual case.

    With `epoch_steps` in the recipe there are as many as the steps need: one shuffled pass comes after another. Where a
    batch is larger than N, its images are drawn with replacement.
    """
    if recipe.epoch_steps is None:
        return _pass(images, recipe, generator=generator)
    wanted = recipe.epoch_steps * recipe.batch_size
    if recipe.batch_size > len(images) and recipe.sampling == "shuffled":
        return torch.randint(len(images), (wanted,), generator=generator)
    passes = [_pass(images, recipe, generator=generator) for _ in range(-(-wanted // len(images)))]
    return torch.cat(passes)[:wanted]


def _pass(images: Images, recipe: Recipe, *, generator: Generator) -> Tensor:
    """Returns the places (N,) of the images in the order of one pass over them."""
    if recipe.sampling == "balanced":
        return balanced_order(class_labels(images).cpu(), generator=generator)
    return torch.randperm(len(images), generator=generator)


def balanced_order(labels: Tensor, *, generator: Generator) -> Tensor:
    """Returns N places in the order of an epoch, for the classes (N,) of the images.

    Each class that occurs comes equally often, and each image of a class too, both to within one; what is left over is
    drawn. Classes of equal size give a plain shuffle.

    >>> classes = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
    >>> classes[balanced_order(classes, generator=Generator().manual_seed(0))].bincount()
    tensor([4, 4])
    """
    present = torch.unique(labels)
    each, left = divmod(len(labels), len(present))
    shares = torch.full((len(present),), each)
    shares[torch.randperm(len(present), generator=generator)[:left]] += 1
    chosen = []
    for label, share in zip(present.tolist(), shares.tolist(), strict=True):
        members = torch.nonzero(labels == label).flatten()
        rounds = range(-(-share // len(members)))
        drawn = [members[torch.randperm(len(members), generator=generator)] for _ in rounds]
        chosen.append(torch.cat(drawn)[:share] if drawn else members[:0])
    places = torch.cat(chosen)
    return places[torch.randperm(len(places), generator=generator)]
