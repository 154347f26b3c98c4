"""GoogLeNet: the paper's network, and one file for each other scale and use."""

from __future__ import annotations

from convatlas.architecture import Family
from convatlas.architectures.googlenet import cifar, imagenet, original, teaching, uva
from convatlas.architectures.googlenet.blocks import inception, naive_inception

__all__ = ["FAMILY", "inception", "naive_inception"]

FAMILY = Family(
    "googlenet",
    title="GoogLeNet",
    docstring=original.__doc__,
    rows=(*original.ROWS, *imagenet.ROWS, *cifar.ROWS, *teaching.ROWS, *uva.ROWS),
    shown="googlenet",
    opened=("inception3a",),
    lineage=("googlenet",),
)
