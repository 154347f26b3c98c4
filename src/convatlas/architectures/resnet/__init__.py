"""ResNet and its descendants: one file for each paper or scale."""

from __future__ import annotations

from convatlas.architectures.resnet import cifar, imagenet, teaching, uva

ARCHITECTURES = (*imagenet.ARCHITECTURES, *cifar.ARCHITECTURES, *teaching.ARCHITECTURES, *uva.ARCHITECTURES)
