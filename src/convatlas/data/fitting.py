"""A recipe fitted to a data set: without changes that its images cannot have, with their size and normalisation."""

from __future__ import annotations

import torch

from convatlas.data.dataset import DataSet
from convatlas.data.images.protocol import class_labels
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.recipe import DataFacts, Recipe, RecipeRule, resolved


def facts_of(data: DataSet) -> DataFacts:
    """Returns the facts of a data set from which a rule makes a recipe."""
    size = data.spec.image_size
    return DataFacts(images=len(data.train), height=size, width=size, classes=len(data.spec.class_names))


def fit_recipe(chosen: Recipe | RecipeRule, *, data: DataSet, in_channels: int) -> tuple[Recipe, tuple[str, ...]]:
    """Returns the recipe, or that of a rule, without what the data cannot have, and a note for each change.

    Raises `UsageError` for a schedule that needs validation images where there are none.
    """
    chosen = resolved(chosen, facts_of(data))
    if chosen.schedule.patience and not len(data.validation):
        raise UsageError(f"schedule=plateau waits for validation images, and {data.spec.name} has none; choose another")
    notes = []
    if chosen.images.flip and not data.spec.mirror:
        chosen = chosen.with_values(flip=0.0)
        notes.append(f"no flips: a mirrored image of {data.spec.name} is not of its class any more")
    mean, std = chosen.images.mean, chosen.images.std
    if mean is not None and std is not None and len({*zip(mean, std, strict=True)}) == 1:  # the same for any channel
        chosen = chosen.with_values(mean=mean[:1] * in_channels, std=std[:1] * in_channels)
    if chosen.images.mean is not None and len(chosen.images.mean) != in_channels:
        notes.append(
            f"normalisation computed from the training images: the recipe's is for {len(chosen.images.mean)} channels, "
            f"the network takes {in_channels}"
        )
        chosen = chosen.with_values(mean=None, std=None)
    if chosen.batch_size > len(data.train):
        more = f"batch_size={chosen.batch_size} is more than the {len(data.train):,} training images"
        one = "an epoch is one step; a smaller batch gives more steps"
        notes.append(f"{more}: {one if chosen.epoch_steps is None else 'each batch is drawn with replacement'}")
    if chosen.sampling == "balanced":
        notes += _repeated(data)
    return chosen, tuple(notes)


def _repeated(data: DataSet) -> tuple[str, ...]:
    """Returns a note of how often balanced sampling repeats the images of the rarest class, if that is often.

    Raises `UsageError` for images without classes.
    """
    labels = class_labels(data.train, needed_by="sampling=balanced in the recipe").cpu()
    classes, counts = torch.unique(labels, return_counts=True)
    fewest = int(counts.min())
    times = len(labels) / len(classes) / fewest
    if times < 2:
        return ()
    rarest = data.spec.class_names[int(classes[counts.argmin()])]
    return (f"sampling=balanced: each of the {fewest:,} images of {rarest} comes about {times:.0f} times in an epoch",)


def check_fit(fitted: Recipe, *, image_size: int, in_channels: int) -> None:
    """Raises `UsageError` for augmentation that images of this size or these channels cannot have."""
    if fitted.images.cutout > image_size:
        raise UsageError(
            f"cutout={fitted.images.cutout} makes no sense; it must be at most {image_size}, the image's size"
        )
    for name in ("jitter", "hue", "rand_augment"):
        value = getattr(fitted.images, name)
        if value and in_channels not in (1, 3):
            raise UsageError(f"{name}={value:g} is for images of 1 or 3 channels, not {in_channels}")


def image_size_of(fitted: Recipe, *, data: DataSet) -> int:
    """Returns the image size of the recipe, else that of the data. Raises `UsageError` where neither has one."""
    size = fitted.images.image_size or data.spec.image_size
    if size is None:
        raise UsageError(
            f"the images of {data.spec.name} are of many sizes; name one to train with, such as --set image_size=224"
        )
    return size


def make_preprocessing(fitted: Recipe, *, data: DataSet, in_channels: int) -> Preprocessing:
    """Returns the recipe's image size, fit and normalisation; computed from the training images where it names none.

    Raises `UsageError` where neither the recipe nor the data has an image size, and where a channel has one value.
    """
    size = image_size_of(fitted, data=data)
    mean, std = fitted.images.mean, fitted.images.std
    if mean is None or std is None:
        mean, std = data.train.channel_statistics(image_size=size)
        if not all(deviation > 0 for deviation in std):
            raise UsageError(
                f"the training images of {data.spec.name} have a channel of one value, with no deviation to divide "
                "by; name both, such as --set mean=0.5,0.5,0.5 --set std=0.25,0.25,0.25"
            )
        if len(mean) == 1:  # grey images: the same for every channel of the network
            mean, std = mean * in_channels, std * in_channels
    fields = fitted.images
    return Preprocessing(size, mean, std, fields.shorter_side, interpolation=fields.interpolation, fit=fields.fit)
