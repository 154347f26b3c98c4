"""Pre-activation ResNet and Wide ResNet, which is made of the same units."""

from __future__ import annotations

from convatlas.architectures.preact_resnet import cifar, wide

ARCHITECTURES = (*cifar.ARCHITECTURES, *wide.ARCHITECTURES)
