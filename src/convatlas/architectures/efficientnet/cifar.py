"""EfficientNet-B0 at CIFAR size, in the form of https://github.com/kuangliu/pytorch-cifar.

Tan, Le. EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. ICML 2019.
https://arxiv.org/abs/1905.11946

>>> from convatlas.complexity import outline
>>> print(outline("efficientnet_b0_cifar"))
stem    32 x 32 x 32         928
stage1  16 x 32 x 32       1,448
stage2  24 x 16 x 16      16,714
stage3    40 x 8 x 8      46,640
stage4    80 x 4 x 4     242,930
stage5   112 x 4 x 4     543,148
stage6   192 x 2 x 2   2,026,348
stage7   320 x 2 x 2     717,232
head              10       3,210

Departs from the paper: the stem has stride 1, and no convolution to 1280 channels stands before the pooling. The
initial weights are PyTorch's default. kuangliu's code intends to skip branches at a rate of 0.2, but it never counts
its blocks, so that each rate is 0; 0 is the default here too. It also makes a 1x1 convolution and a norm in the first
block and never uses them. With their 1,088 parameters it has 3,599,686.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture
from convatlas.architectures.efficientnet.blocks import PAPER, SILU, STEM, TABLE_1, squeeze_excite
from convatlas.architectures.efficientnet.keys import KUANGLIU_KEYS
from convatlas.architectures.efficientnet.scaling import scaled_rows, scaled_width
from convatlas.layers import ConvNormAct, classifier, inverted_residual, inverted_stages, sequential


def efficientnet_cifar(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    width: float = 1.0,
    depth: float = 1.0,
    dropout: float = 0.2,
    stochastic_depth: float = 0.0,
) -> nn.Sequential:
    """Builds the paper's table 1 after a stem of stride 1: (N, in_channels, H, W) -> (N, num_classes), for 32 pixels.

    Options and errors are those of `efficientnet`. Initialisation: PyTorch's default.
    """
    conv = partial(ConvNormAct, act=SILU)
    stem_channels = scaled_width(STEM, width)
    rows = scaled_rows(TABLE_1, width=width, depth=depth)
    block = partial(inverted_residual, conv=conv, gate=squeeze_excite)
    return sequential(
        stem=conv(in_channels, stem_channels, 3),
        **inverted_stages(stem_channels, rows, block=block, skipped=stochastic_depth),
        head=classifier(rows[-1].width, num_classes, dropout=dropout),
    )


ROWS = (
    Architecture(
        "efficientnet_b0_cifar",
        builder=efficientnet_cifar,
        paper=PAPER,
        dataset="cifar10",
        params=3_598_598,
        macs=30_331_392,
        layouts={"kuangliu": KUANGLIU_KEYS},
        note="not the paper's: a stem of stride 1 and no last convolution, for images of 32 pixels",
    ),
)
