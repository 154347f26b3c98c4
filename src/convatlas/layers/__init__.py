"""The building blocks of the networks and their initial weights."""

from __future__ import annotations

from convatlas.layers.auxiliary import (
    AuxiliaryHeads,
    AuxiliaryLogits,
    logits_of,
    total_loss,
)
from convatlas.layers.blocks import (
    Concat,
    ConvNormAct,
    InputTransform,
    NormActConv,
    Residual,
    Scale,
    StochasticDepth,
    ZeroPadShortcut,
    check_counts,
    check_dropout,
    check_stages,
    classifier,
    dense_layers,
    sequential,
)
from convatlas.layers.detection import DetectorOutput, mean_square
from convatlas.layers.folding import folded
from convatlas.layers.initialization import (
    Activation,
    Layer,
    activation_layer,
    initialize_kaiming,
    initialize_normal,
    initialize_xavier,
)
from convatlas.layers.inverted import (
    InvertedRow,
    inverted_branch,
    inverted_residual,
    inverted_stages,
    scaled_width,
)
from convatlas.layers.preactivation import (
    preactivation_bottleneck,
    preactivation_first_bottleneck,
    preactivation_stages,
    shared_preactivation,
)
from convatlas.layers.separable import (
    SqueezeExcite,
    depthwise_separable,
    pointwise,
    spatially_separable,
)
from convatlas.layers.tensorflow import SamePadding, initialize_tensorflow, initialize_uniform_classifier

__all__ = [
    "Activation",
    "AuxiliaryHeads",
    "AuxiliaryLogits",
    "Concat",
    "ConvNormAct",
    "DetectorOutput",
    "InputTransform",
    "InvertedRow",
    "Layer",
    "NormActConv",
    "Residual",
    "SamePadding",
    "Scale",
    "SqueezeExcite",
    "StochasticDepth",
    "ZeroPadShortcut",
    "activation_layer",
    "check_counts",
    "check_dropout",
    "check_stages",
    "classifier",
    "dense_layers",
    "depthwise_separable",
    "folded",
    "initialize_kaiming",
    "initialize_normal",
    "initialize_tensorflow",
    "initialize_uniform_classifier",
    "initialize_xavier",
    "inverted_branch",
    "inverted_residual",
    "inverted_stages",
    "logits_of",
    "mean_square",
    "pointwise",
    "preactivation_bottleneck",
    "preactivation_first_bottleneck",
    "preactivation_stages",
    "scaled_width",
    "sequential",
    "shared_preactivation",
    "spatially_separable",
    "total_loss",
]
