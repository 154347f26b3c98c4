"""Images of which few keep their labels: the class-balanced choice, and the same images without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from convatlas.data.images.protocol import Images
from convatlas.data.subset import orders
from convatlas.errors import UsageError


def labelled_places(labels: Tensor, wanted: float, *, class_names: Sequence[str], seed: int) -> Tensor:
    """Returns the places of the images that keep their labels, in rising order, drawn from the seed.

    A number `wanted` gives equally many of each class, to within one; a part below 1 gives that part of each class, at
    least one image. With the same seed, more labels are the fewer ones and others. Raises `UsageError` for more labels
    than images, in all or of a class, and for fewer labels than classes.

    >>> classes = torch.tensor([0, 1, 0, 1, 0, 1])
    >>> classes[labelled_places(classes, 4, class_names=("cat", "dog"), seed=0)].bincount()
    tensor([2, 2])
    """
    in_order = orders(labels, len(class_names), seed=seed)
    if wanted < 1:
        chosen = [places[: max(1, round(wanted * len(places)))] for places in in_order]
        return torch.cat(chosen).sort().values
    count, there = int(wanted), len(labels)
    if count > there:
        raise UsageError(f"labels={count:,} are more than the {there:,} training images; give at most {there:,}")
    if count < len(class_names):
        raise UsageError(
            f"labels={count} are fewer than the {len(class_names)} classes; give {len(class_names)} or more"
        )
    each, more = divmod(count, len(class_names))
    chosen = []
    for number, (name, places) in enumerate(zip(class_names, in_order, strict=True)):
        share = each + (number < more)
        if share > len(places):
            fewest = len(class_names) * min(map(len, in_order))
            raise UsageError(
                f"labels={count:,} take {share:,} of each class, and {name} has {len(places):,} training images; give "
                f"at most {fewest:,}, or a part of each class such as 0.1"
            )
        chosen.append(places[:share])
    return torch.cat(chosen).sort().values


def without_labels(images: Images) -> Images:
    """Returns the same images without their labels, so that nothing can learn from them."""
    stripped: Images = replace(images, labels=None)  # type: ignore[type-var]  # every kind of images is a dataclass
    return stripped
