"""EfficientNet: one file for each form, in PyTorch, in TensorFlow, Lite and for CIFAR, and the scaling of all forms."""

from __future__ import annotations

from convatlas.architecture import Family
from convatlas.architectures.efficientnet import cifar, imagenet, lite, tensorflow

FAMILY = Family(
    "efficientnet",
    title="EfficientNet",
    docstring=imagenet.__doc__,
    rows=(*imagenet.ROWS, *tensorflow.ROWS, *lite.ROWS, *cifar.ROWS),
    shown="efficientnet_b0",
    opened=("stage2.1",),
    lineage=("tf_efficientnet_b0", "tf_efficientnet_b7", "tf_efficientnet_l2"),
)
