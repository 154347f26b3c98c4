"""ImageNet's 1,000 classes (ILSVRC 2012), for the answers of networks that were trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Returns a short English name for each class, in the order of the labels (sorted WordNet identifiers).

    The names are those that torchvision gives with its weights.
    """
    return _lines("imagenet_classes.txt")


@cache
def imagenet_synsets() -> dict[str, str]:
    """Returns the name of the class of each WordNet identifier, the name of its folder, in the order of the labels."""
    return dict(zip(_lines("imagenet_synsets.txt"), imagenet_classes(), strict=True))


def are_synsets(names: Sequence[str]) -> bool:
    """Returns whether these are identifiers of ImageNet's classes, all or some of them.

    >>> are_synsets(["n01440764", "n01443537"]), are_synsets(["n01440764", "tench"])
    (True, False)
    """
    return bool(names) and imagenet_synsets().keys() >= set(names)


def _lines(file: str) -> tuple[str, ...]:
    return tuple(files("convatlas.data.sources").joinpath(file).read_text(encoding="utf-8").splitlines())
