"""Pre-activation ResNet, one file for each form, and Wide ResNet, which is made of the same units."""

from __future__ import annotations

from convatlas.architectures.preact_resnet import cifar, imagenet, kuangliu, wide

ARCHITECTURES = (
    *cifar.ARCHITECTURES,
    *imagenet.ARCHITECTURES,
    *kuangliu.ARCHITECTURES,
    *wide.ARCHITECTURES,
)
