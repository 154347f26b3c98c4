"""DenseNet: one file for each scale."""

from __future__ import annotations

from convatlas.architectures.densenet import cifar, imagenet, teaching, uva

ARCHITECTURES = (*imagenet.ARCHITECTURES, *cifar.ARCHITECTURES, *teaching.ARCHITECTURES, *uva.ARCHITECTURES)
