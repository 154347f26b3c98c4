"""The building blocks of the networks and their initial weights."""

from __future__ import annotations

from convatlas.layers.blocks import (
    Concat,
    ConvNormAct,
    NormActConv,
    Residual,
    ZeroPadShortcut,
    check_counts,
    classifier,
    sequential,
)
from convatlas.layers.initialization import (
    Activation,
    Layer,
    activation_layer,
    initialize_kaiming,
    initialize_normal,
    initialize_xavier,
)

__all__ = [
    "Activation",
    "Concat",
    "ConvNormAct",
    "Layer",
    "NormActConv",
    "Residual",
    "ZeroPadShortcut",
    "activation_layer",
    "check_counts",
    "classifier",
    "initialize_kaiming",
    "initialize_normal",
    "initialize_xavier",
    "sequential",
]
