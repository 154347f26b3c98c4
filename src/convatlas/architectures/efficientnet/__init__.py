"""EfficientNet: one file for each form, in PyTorch, in TensorFlow and for CIFAR, and the scaling that they share."""

from __future__ import annotations

from convatlas.architectures.efficientnet import cifar, imagenet, tensorflow

ARCHITECTURES = (*imagenet.ARCHITECTURES, *tensorflow.ARCHITECTURES, *cifar.ARCHITECTURES)
