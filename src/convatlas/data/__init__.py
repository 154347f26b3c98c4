"""Data sets: a source for each, one code path for all."""

from __future__ import annotations

from pathlib import Path

from convatlas.data.dataset import DataSet, Source, Spec, Splits
from convatlas.data.images.protocol import Images, class_labels
from convatlas.data.images.resident import ResidentImages
from convatlas.data.sources import KINDS, NAMED
from convatlas.data.sources.imagenet import imagenet_classes
from convatlas.data_names import check_reference, is_known, list_data

__all__ = [
    "DataSet",
    "Images",
    "ResidentImages",
    "Source",
    "Spec",
    "Splits",
    "class_labels",
    "class_names",
    "is_known",
    "list_data",
    "load_data",
    "open_source",
]


def open_source(reference: str) -> Source:
    """Returns the source that a reference stands for: `NAME`, or `KIND:REFERENCE` such as `folder:PATH`.

    Raises `UsageError` for an unknown name or kind, with the nearest, and for a reference that leads nowhere.

    >>> open_source("digits").spec.channels
    1
    """
    check_reference(reference)
    kind, colon, rest = reference.partition(":")
    return KINDS[kind](rest) if colon else NAMED[kind]


def class_names(name: str) -> tuple[str, ...]:
    """Returns the classes of a named data set in the order of the labels, of ImageNet's too; none for an unknown name.

    >>> class_names("imagenet")[:2], len(class_names("imagenet"))
    (('tench', 'goldfish'), 1000)
    """
    if name == "imagenet":
        return imagenet_classes()
    return NAMED[name].spec.class_names if name in NAMED else ()


def load_data(reference: str, *, folder: Path | None = None) -> DataSet:
    """Reads a data set and splits it into training, validation and test, the same way every time.

    >>> data = load_data("digits")
    >>> len(data.train), len(data.validation), len(data.test)
    (1077, 360, 360)
    """
    return open_source(reference).load(folder)
