"""DenseNet: one file for each scale."""

from __future__ import annotations

from convatlas.architecture import Family
from convatlas.architectures.densenet import cifar, imagenet, teaching, uva

FAMILY = Family(
    "densenet",
    title="DenseNet",
    docstring=imagenet.__doc__,
    rows=(*imagenet.ROWS, *cifar.ROWS, *teaching.ROWS, *uva.ROWS),
    shown="densenet121",
    opened=("block1.0",),
    lineage=("densenet161",),
)
