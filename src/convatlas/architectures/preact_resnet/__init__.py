"""Pre-activation ResNet, one file for each form, and the Wide ResNets with the same units."""

from __future__ import annotations

from convatlas.architecture import Family
from convatlas.architectures.preact_resnet import cifar, imagenet, kuangliu

FAMILY = Family(
    "preact_resnet",
    title="Pre-activation ResNet",
    docstring=cifar.__doc__,
    rows=(*cifar.ROWS, *imagenet.ROWS, *kuangliu.ROWS),
    shown="preact_resnet164",
    opened=("stage2.0", "stage2.1"),
)
