"""Inception networks after GoogLeNet: one file for each, and the blocks that they share."""

from __future__ import annotations

from convatlas.architectures.inception import bn, cifar, inception_resnet_v1, inception_resnet_v2, v2, v3, v4
from convatlas.architectures.inception.blocks import (
    double_3x3,
    expanded_filter_bank,
    factorized,
    grid_reduction,
    inception_double3x3,
    inception_expanded,
    inception_factorized,
)

__all__ = [
    "ARCHITECTURES",
    "double_3x3",
    "expanded_filter_bank",
    "factorized",
    "grid_reduction",
    "inception_double3x3",
    "inception_expanded",
    "inception_factorized",
]

ARCHITECTURES = (
    *bn.ARCHITECTURES,
    *v2.ARCHITECTURES,
    *v3.ARCHITECTURES,
    *v4.ARCHITECTURES,
    *cifar.ARCHITECTURES,
    *inception_resnet_v1.ARCHITECTURES,
    *inception_resnet_v2.ARCHITECTURES,
)
