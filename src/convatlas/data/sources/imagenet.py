"""ImageNet's 1,000 classes (ILSVRC 2012), for the answers of networks that were trained on them."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Returns a short English name for each class, in the order of the labels (sorted WordNet identifiers).

    The names are those that torchvision gives with its weights.
    """
    text = files("convatlas.data.sources").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
