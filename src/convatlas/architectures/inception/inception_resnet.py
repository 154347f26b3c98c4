"""Inception-ResNet in two versions: one file for each version, and common blocks in `residual.py`."""

from __future__ import annotations

from convatlas.architecture import Family
from convatlas.architectures.inception import inception_resnet_v1, inception_resnet_v2

FAMILY = Family(
    "inception_resnet",
    title="Inception-ResNet",
    docstring=inception_resnet_v1.__doc__,
    rows=(*inception_resnet_v1.ROWS, *inception_resnet_v2.ROWS),
    shown="inception_resnet_v2",
    opened=("stage1.0",),
    lineage=("inception_resnet_v2",),
)
