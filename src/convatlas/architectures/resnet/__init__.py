"""ResNet and its descendants: one file for each paper or scale."""

from __future__ import annotations

from convatlas.architectures.resnet import cifar, imagenet, resnext, senet, teaching, uva, wide

ARCHITECTURES = (
    *imagenet.ARCHITECTURES,
    *cifar.ARCHITECTURES,
    *teaching.ARCHITECTURES,
    *uva.ARCHITECTURES,
    *wide.ARCHITECTURES,
    *resnext.ARCHITECTURES,
    *senet.ARCHITECTURES,
)
