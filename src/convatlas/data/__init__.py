"""Data sets: a source for each, one code path for all."""

from __future__ import annotations

from pathlib import Path

from convatlas.data.dataset import DataSet, Source, Spec, Splits
from convatlas.data.images.protocol import Images, class_labels
from convatlas.data.images.resident import ResidentImages
from convatlas.data.sources import KINDS, NAMED
from convatlas.data.sources.imagenet import imagenet_classes
from convatlas.data.subset import source_of_subset
from convatlas.data_names import Subset, check_reference, is_known, list_data, subset_in

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

    Words behind a question mark take a part of it: `digits?shots=5&draw=0`, `cifar10?classes=cat,dog`. Raises
    `UsageError` for an unknown name or kind, with the nearest, and for a reference that leads nowhere.

    >>> open_source("digits").spec.channels
    1
    """
    check_reference(reference)
    whole, subset = subset_in(reference)
    kind, colon, rest = whole.partition(":")
    source = KINDS[kind](rest) if colon else NAMED[kind]
    return source if subset == Subset() else source_of_subset(source, subset)


def class_names(name: str) -> tuple[str, ...]:
    """Returns the classes of a named data set in the order of the labels, of ImageNet's too; none for an unknown name.

    >>> class_names("imagenet")[:2], len(class_names("imagenet"))
    (('tench', 'goldfish'), 1000)
    """
    if name == "imagenet":
        return imagenet_classes()
    if name in NAMED or not is_known(name) or ":" in name:
        return NAMED[name].spec.class_names if name in NAMED else ()
    return open_source(name).spec.class_names  # of a part of a named data set


def load_data(reference: str, *, folder: str | Path | None = None) -> DataSet:
    """Reads a data set and splits it into training, validation and test, the same way every time.

    >>> data = load_data("digits")
    >>> len(data.train), len(data.validation), len(data.test)
    (1077, 360, 360)
    """
    return open_source(reference).load(None if folder is None else Path(folder))
