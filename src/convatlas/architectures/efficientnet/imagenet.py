"""EfficientNet: a small network found by search, and larger ones that scale its width, depth and resolution together.

Tan, Le. EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. ICML 2019.
https://arxiv.org/abs/1905.11946; each block is MobileNet-v2's with squeeze and excitation.

>>> from convatlas.complexity import outline
>>> print(outline("efficientnet_b0"))
stem    32 x 112 x 112         928
stage1  16 x 112 x 112       1,448
stage2    24 x 56 x 56      16,714
stage3    40 x 28 x 28      46,640
stage4    80 x 14 x 14     242,930
stage5   112 x 14 x 14     543,148
stage6     192 x 7 x 7   2,026,348
stage7     320 x 7 x 7     717,232
conv      1280 x 7 x 7     412,160
head              1000   1,281,000

Departs from the paper: `efficientnet_*` are torchvision's, with equal padding on all sides. Their norms have PyTorch's
epsilon (1e-5) and momentum up to B4, and TensorFlow's from B5 on. `tf_efficientnet_*` are the networks that the authors
released. Widths and depths are the released ones; the paper's formula gives others (`scaling.compound_scaling`).
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Published, Weights
from convatlas.architectures.efficientnet.blocks import (
    COUNTS,
    LAST,
    PAPER,
    SILU,
    check_norm,
    scaled_body,
)
from convatlas.architectures.efficientnet.keys import TIMM_KEYS, TORCHVISION_KEYS
from convatlas.architectures.efficientnet.scaling import RELEASED, scaled_width
from convatlas.architectures.sources import torchvision_published, torchvision_weights
from convatlas.layers import ConvNormAct, classifier, initialize_kaiming, initialize_uniform_classifier, sequential
from convatlas.values import Interpolation


def efficientnet(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    width: float = 1.0,
    depth: float = 1.0,
    dropout: float = 0.2,
    stochastic_depth: float = 0.2,
    epsilon: float = 1e-5,
    momentum: float = 0.1,
) -> nn.Sequential:
    """Builds the paper's table 1, scaled, with padding on all sides: (N, in_channels, H, W) -> (N, num_classes).

    `width` and `depth` are factors, rounded as in the authors' code. Dropout stands before the classifier. Branches are
    skipped with a rate that grows from 0 almost to `stochastic_depth`. `epsilon` and `momentum` belong to the norms.
    Initialisation as in torchvision: convolutions Kaiming normal by fan-out, the linear layer uniform within
    1 / sqrt(num_classes), biases 0. Raises `UsageError` for factors, rates, epsilon or momentum out of range.
    """
    check_norm(epsilon=epsilon, momentum=momentum)
    conv = partial(ConvNormAct, norm=partial(nn.BatchNorm2d, eps=epsilon, momentum=momentum), act=SILU)
    body = scaled_body(in_channels, conv, width=width, depth=depth, stochastic_depth=stochastic_depth)
    network = sequential(**body, head=classifier(scaled_width(LAST, width), num_classes, dropout=dropout))
    initialize_kaiming(network, activation="relu", fan="fan_out")
    initialize_uniform_classifier(network)
    return network


# name: torchvision's file, the accuracy that it states, the pixels of the crop, the pixels of the image's shorter side.
TORCHVISION = {
    "b0": ("efficientnet_b0_rwightman-7f5810bc.pth", 0.77692, 224, 256),
    "b1": ("efficientnet_b1_rwightman-bac287d4.pth", 0.78642, 240, 256),
    "b2": ("efficientnet_b2_rwightman-c35c1473.pth", 0.80608, 288, 288),
    "b3": ("efficientnet_b3_rwightman-b3899882.pth", 0.82008, 300, 320),
    "b4": ("efficientnet_b4_rwightman-23ab8bcd.pth", 0.83384, 380, 384),
    "b5": ("efficientnet_b5_lukemelas-1a07897c.pth", 0.83444, 456, 456),
    "b6": ("efficientnet_b6_lukemelas-24a108a5.pth", 0.84008, 528, 528),
    "b7": ("efficientnet_b7_lukemelas-c5b4e57e.pth", 0.84122, 600, 600),
}
B1_V2 = ("efficientnet_b1-c27df63c.pth", 0.79838, 240, 255)
# These networks have TensorFlow's norms.
TENSORFLOW_NORMS = ("b5", "b6", "b7")
NOTES = {
    "b2": "the paper's images have 260 pixels, the images of torchvision's weights have 288",
    "b5": "the norms have epsilon 1e-3 and momentum 0.01, as in torchvision; for timm's b5, set -o epsilon=1e-5",
    "b6": "the norms have epsilon 1e-3 and momentum 0.01, as in torchvision; for timm's b6, set -o epsilon=1e-5",
    "b7": "the norms have epsilon 1e-3 and momentum 0.01, as in torchvision; for timm's b7, set -o epsilon=1e-5",
}

imagenet_row = partial(Architecture, dataset="imagenet", num_classes=1000)


def _results(name: str) -> tuple[tuple[Published, ...], tuple[Weights, ...]]:
    """Returns the accuracies and files that torchvision published for a network."""
    file, top1, pixels, shorter_side = TORCHVISION[name]
    published = [torchvision_published(top1, pixels=pixels)]
    weights = [_weights("torchvision", file, pixels, shorter_side, "bicubic")]
    if name == "b1":
        file, top1, pixels, shorter_side = B1_V2
        published.append(torchvision_published(top1, version="IMAGENET1K_V2", pixels=pixels))
        weights.append(_weights("torchvision_v2", file, pixels, shorter_side, "bilinear"))
    return tuple(published), tuple(weights)


def _weights(name: str, file: str, pixels: int, shorter_side: int, interpolation: Interpolation) -> Weights:
    return torchvision_weights(
        file,
        keys=TORCHVISION_KEYS,
        name=name,
        image_size=pixels,
        shorter_side=shorter_side,
        interpolation=interpolation,
    )


def _row(name: str) -> Architecture:
    params, macs = COUNTS[name]
    width, depth, resolution, dropout = RELEASED[name]
    builder = partial(efficientnet, width=width, depth=depth, dropout=dropout)
    published, weights = _results(name)
    return imagenet_row(
        f"efficientnet_{name}",
        builder=partial(builder, epsilon=1e-3, momentum=0.01) if name in TENSORFLOW_NORMS else builder,
        paper=PAPER,
        image_size=resolution,
        params=params,
        macs=macs,
        published=published,
        weights=weights,
        layouts={"timm": TIMM_KEYS},
        note=NOTES.get(name, ""),
    )


ROWS = tuple(_row(name) for name in TORCHVISION)
