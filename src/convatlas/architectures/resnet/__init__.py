"""ResNet and its descendants: one file for each paper or scale."""

from __future__ import annotations

from convatlas.architecture import Family
from convatlas.architectures.resnet import cifar, imagenet, teaching, uva

FAMILY = Family(
    "resnet",
    title="ResNet and plain networks",
    docstring=imagenet.__doc__,
    rows=(*imagenet.ROWS, *cifar.ROWS, *teaching.ROWS, *uva.ROWS),
    shown="resnet50",
    opened=("stage2.0", "stage2.1"),
    lineage=("resnet50", "resnet152"),
)
