"""Inception networks after GoogLeNet: one file for each network, and the blocks that all of them use."""

from __future__ import annotations

from convatlas.architecture import Family
from convatlas.architectures.inception import bn, cifar, v2, v3, v4
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
    "FAMILY",
    "double_3x3",
    "expanded_filter_bank",
    "factorized",
    "grid_reduction",
    "inception_double3x3",
    "inception_expanded",
    "inception_factorized",
]

FAMILY = Family(
    "inception",
    title="Inception after GoogLeNet",
    docstring=v3.__doc__,
    rows=(*bn.ROWS, *v2.ROWS, *v3.ROWS, *v4.ROWS, *cifar.ROWS),
    shown="inception_v3",
    opened=("stage2.0", "stage3.0"),
    lineage=("bn_inception", "inception_v3", "inception_v4"),
)
