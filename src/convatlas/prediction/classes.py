"""The classes of a data set matched by name to those that a network knows."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence

import torch
from torch import Tensor

from convatlas.data import DataSet, Images, class_labels
from convatlas.data.boxes.truth import box_labels, has_boxes
from convatlas.data.images.protocol import relabelled
from convatlas.errors import UsageError, printable
from convatlas.prediction.predictor import Predictor

SHOWN = 5  # classes in a note


def with_classes_of(predictor: Predictor, data: DataSet) -> DataSet:
    """Returns the data with the network's classes, and each label the place of its class among them.

    Classes of the network that the data has not are noted. Where the checkpoint does not name its classes, they are
    taken to be those of the data in their order. Raises `UsageError` for a class that the network does not know.
    """
    classes, known = data.spec.class_names, predictor.class_names
    if known is None:
        return _by_position(predictor, data)
    if known == classes:
        return data
    places = {name: place for place, name in enumerate(known)}
    strange = next((name for name in classes if name not in places), None)
    if strange is not None:
        raise UsageError(_unknown(predictor, data, strange, known))
    new = torch.tensor([places[name] for name in classes])
    parts = {part: _renumbered(images, new) for part, images in data.parts.items()}
    absent = [name for name in known if name not in set(classes)]
    notes = (
        [f"{data.spec.name} has no image of {some_names(absent)}: {len(absent):,} of {len(known):,}"] if absent else []
    )
    spec = dataclasses.replace(data.spec, class_names=known)
    return data.replaced(spec=spec, notes=(*data.notes, *notes), **parts)


def _renumbered(images: Images, new: Tensor) -> Images:
    """Returns the same images with the number `new[label]` for each label, or for that of each box."""
    if has_boxes(images):
        boxes = [dataclasses.replace(each, labels=new.numpy()[each.labels]) for each in box_labels(images)]
        changed: Images = dataclasses.replace(images, labels=boxes)  # type: ignore[type-var]
        return changed
    return relabelled(images, new[class_labels(images).cpu()].to(images.device))


def _by_position(predictor: Predictor, data: DataSet) -> DataSet:
    """Returns the data with a note. Raises `UsageError` where it has not as many classes as the network."""
    classes = data.spec.class_names
    if len(classes) != predictor.num_classes:
        raise UsageError(
            f"{predictor.source} tells {predictor.num_classes} classes apart, whose names it does not say; "
            f"{data.spec.name} has {len(classes)}: {some_names(classes)}; only a data set of the same classes can be "
            "evaluated"
        )
    note = (
        f"{predictor.source} does not name its classes: they are taken to be those of {data.spec.name} in their order, "
        f"{some_names(classes)}"
    )
    return data.replaced(notes=(*data.notes, note))


def _unknown(predictor: Predictor, data: DataSet, name: str, known: tuple[str, ...]) -> str:
    """Returns the message for a class that the network does not know."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f" (did you mean {near[0]}?)" if near else ""
    return (
        f"{data.spec.name} has the class {printable(name)}{meant}, which {predictor.source} does not know; it knows "
        f"{len(known)}: {some_names(known)}; only a data set of the same classes, or of some of them, can be evaluated"
    )


def some_names(names: Sequence[str]) -> str:
    """Returns the first names, and dots where there are more."""
    return ", ".join(printable(name) for name in names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")
