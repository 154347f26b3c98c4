"""Data sets: a spec for each, one code path for all."""

from __future__ import annotations

from pathlib import Path

from convatlas.data.dataset import DataSet, Spec, Split, Splits
from convatlas.data.sources.cifar import CIFAR10, CIFAR100
from convatlas.data.sources.digits import DIGITS
from convatlas.data.sources.imagenet import imagenet_classes
from convatlas.data.sources.mnist import FASHION_MNIST, MNIST
from convatlas.errors import unknown

__all__ = ["DataSet", "Spec", "Split", "Splits", "class_names", "list_data", "load_data", "spec"]

_SPECS = {spec.name: spec for spec in (DIGITS, CIFAR10, CIFAR100, MNIST, FASHION_MNIST)}


def list_data() -> list[str]:
    """The names of the data sets, sorted."""
    return sorted(_SPECS)


def spec(name: str) -> Spec:
    """The description of the data set called `name`. Raises `UsageError` for an unknown one, with the nearest."""
    if name not in _SPECS:
        raise unknown("data set", name, _SPECS)
    return _SPECS[name]


def class_names(name: str) -> tuple[str, ...]:
    """The classes of a data set in the order of their labels, of ImageNet's too; none for one that is not known here.

    >>> class_names("imagenet")[:2], len(class_names("imagenet"))
    (('tench', 'goldfish'), 1000)
    """
    if name == "imagenet":
        return imagenet_classes()
    return _SPECS[name].class_names if name in _SPECS else ()


def load_data(name: str, *, folder: Path | None = None) -> DataSet:
    """Reads a data set and splits it into training, validation and test, the same way every time.

    >>> data = load_data("digits")
    >>> len(data.train.labels), len(data.validation.labels), len(data.test.labels)
    (1077, 360, 360)
    """
    return spec(name).load(folder)
