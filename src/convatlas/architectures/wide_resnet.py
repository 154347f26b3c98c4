"""Wide ResNet at two sizes: pre-activation units for CIFAR, and the bottlenecks of ResNet-50 for ImageNet.

Each network stands in the folder of its blocks. Only this family joins rows from other folders.
"""

from __future__ import annotations

from convatlas.architecture import Family
from convatlas.architectures.preact_resnet import wide as cifar
from convatlas.architectures.preact_resnet import wide_released
from convatlas.architectures.resnet import wide as imagenet

FAMILY = Family(
    "wide_resnet",
    title="Wide ResNet",
    docstring=cifar.__doc__,
    rows=(*cifar.ROWS, *wide_released.ROWS, *imagenet.ROWS),
    shown="wide_resnet28_10",
    opened=("stage2.0",),
    lineage=("wide_resnet50_2",),
)
