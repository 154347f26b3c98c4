"""A part of a data set: some of its classes, fewer test images, or few training images of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from convatlas.data.dataset import SPLIT_SEED, DataSet, Source, Splits
from convatlas.data.images.protocol import Images, class_labels, relabelled, short_hash, targets_at
from convatlas.data.images.resident import ResidentImages
from convatlas.data.images.streaming import StreamedImages
from convatlas.data_names import Subset, in_subset
from convatlas.errors import UsageError, unknown


def source_of_subset(source: Source, subset: Subset) -> Source:
    """Returns a source that reads a part of another one. Raises `UsageError` for a class that it has not."""
    names = source.spec.class_names
    for name in subset.classes:
        if name not in names:
            raise unknown(f"class of {source.spec.name}", name, names)
    if len(set(subset.classes)) == 1 or len(set(subset.classes)) < len(subset.classes):
        raise UsageError(f"classes={','.join(subset.classes)} must be two or more, each once")
    kept = tuple(name for name in names if name in subset.classes) or names
    subset = replace(subset, classes=kept if subset.classes else ())
    spec = replace(source.spec, name=subset.of(source.spec.name), class_names=kept)

    def read(folder: Path | None) -> Splits:
        data = source.load(folder)
        data = few_shot(of_test_images(of_classes(data, kept), subset.test_images), subset)
        return Splits(data.train, data.validation, data.test, data.notes)

    return Source(spec, read=read)


def of_classes(data: DataSet, classes: Sequence[str]) -> DataSet:
    """Returns the images of some classes, whose labels are their places among these."""
    if tuple(classes) == data.spec.class_names:
        return data
    numbers = torch.full((len(data.spec.class_names),), -1)
    for label, name in enumerate(classes):
        numbers[data.spec.class_names.index(name)] = label
    train, validation, test = (_of_labels(images, numbers) for images in data.parts.values())
    spec = replace(data.spec, class_names=tuple(classes))
    return replace(data, spec=spec, train=train, validation=validation, test=test)


def of_test_images(data: DataSet, count: int | None) -> DataSet:
    """Returns the data set with `count` test images, of each class equally many, drawn with the seed of all splits.

    Raises `UsageError` where a class has too few.
    """
    if count is None:
        return data
    labels, names = class_labels(data.test), data.spec.class_names
    each, more = divmod(count, len(names))
    chosen = []
    for label, order in enumerate(orders(labels, len(names), seed=SPLIT_SEED)):
        wanted = each + (label < more)
        if len(order) < wanted:
            raise UsageError(
                f"test_images={count:,} takes {wanted:,} test images of class {names[label]} of {data.spec.name}, "
                f"which has {len(order):,}; at most {len(names) * _fewest(labels, len(names)):,} are balanced"
            )
        chosen.append(order[:wanted])
    return replace(data, test=at(data.test, torch.cat(chosen).sort().values))


def few_shot(data: DataSet, subset: Subset) -> DataSet:
    """Returns the data set with `shots` training images of each class and no validation images.

    The training images are drawn from the split and the number of the draw. A draw of more shots has the images of one
    of fewer. Raises `UsageError` for more shots than a class has training images.
    """
    if subset.shots is None:
        return data
    words = Subset(shots=subset.shots, draw=subset.draw)
    spec = replace(data.spec, name=in_subset(data.spec.name, words))
    train = data.train if subset.shots == "all" else at(data.train, shots_at(data, subset))
    return replace(data, spec=spec, train=train, validation=no_images(data.train.channels))


def shots_at(data: DataSet, subset: Subset) -> Tensor:
    """Returns the places of the training images that a draw chooses, in rising order. Raises `UsageError`."""
    labels, names = class_labels(data.train).cpu(), data.spec.class_names
    if subset.shots is None or subset.shots == "all":
        return torch.arange(len(labels))
    for name, count in zip(names, labels.bincount(minlength=len(names)).tolist(), strict=True):
        if count < subset.shots:
            raise UsageError(
                f"shots={subset.shots}: class {name} of {data.spec.name} has {count:,} training images; give at most "
                f"{_fewest(labels, len(names)):,}, or all"
            )
    chosen = [order[: subset.shots] for order in class_orders(data, subset.draw)]
    return torch.cat(chosen).sort().values


def class_orders(data: DataSet, draw: int) -> list[Tensor]:
    """Returns for each class the places of its training images in the order in which a draw takes them."""
    seed = int(short_hash([*data.train.identity(), str(draw).encode()]), 16) % 2**63
    return orders(class_labels(data.train), len(data.spec.class_names), seed=seed)


def orders(labels: Tensor, classes: int, *, seed: int) -> list[Tensor]:
    """Returns for each class the places of its images in an order that is drawn from the seed."""
    generator = torch.Generator().manual_seed(seed)
    members = [torch.nonzero(labels.cpu() == label).flatten() for label in range(classes)]
    return [places[torch.randperm(len(places), generator=generator)] for places in members]


def at(images: Images, places: Tensor) -> Images:
    """Returns the images at some places. Raises `UsageError` for images of another kind than those of our sources."""
    if isinstance(images, StreamedImages) and len(places):
        return replace(images, labels=targets_at(images.labels, places), index=images.index[places], memory=None)
    if isinstance(images, ResidentImages):
        there = places.to(images.device)
        return ResidentImages(images.pixels[there], class_labels(images)[there], images.index[places])
    if not len(places):
        return no_images(images.channels)
    raise UsageError(f"a part cannot be taken of {type(images).__name__}")


def no_images(channels: int) -> Images:
    """Returns a part without images."""
    pixels = torch.empty(0, channels, 1, 1, dtype=torch.uint8)
    return ResidentImages(pixels, torch.empty(0).long(), torch.empty(0).long())


def _of_labels(images: Images, numbers: Tensor) -> Images:
    """Returns the images whose class has a number that is not negative; this number is their new class."""
    new = numbers[class_labels(images).cpu()]
    places = torch.nonzero(new >= 0).flatten()
    return relabelled(at(images, places), new[places])


def _fewest(labels: Tensor, classes: int) -> int:
    return int(labels.bincount(minlength=classes).min())
