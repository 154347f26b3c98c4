"""Pre-activation ResNet."""

from __future__ import annotations

from convatlas.architectures.preact_resnet import cifar

ARCHITECTURES = cifar.ARCHITECTURES
