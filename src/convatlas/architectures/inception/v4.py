"""Inception-v4: the pure Inception, deeper and more uniform, with its own stem and its own modules for three grids.

Szegedy, Ioffe, Vanhoucke, Alemi. Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning.
AAAI 2017. https://arxiv.org/abs/1602.07261; the network is that of the published weights,
https://github.com/tensorflow/models/tree/master/research/slim, which timm has too.

>>> from convatlas.complexity import outline
>>> print(outline("inception_v4"))
stem         384 x 35 x 35     605,728
stage1       384 x 35 x 35   1,270,528
reduction1  1024 x 17 x 17   2,306,112
stage2      1024 x 17 x 17  20,553,792
reduction2    1536 x 8 x 8   2,747,392
stage3        1536 x 8 x 8  13,659,264
head                  1000   1,537,000

Departs from the paper: row and column have the released weights' order in the stem's factorised 7x7, and in the longest
branch of the modules B and C. Figures 3, 5 and 6 have the opposite order.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Paper, Published
from convatlas.architectures.inception.blocks import (
    CONV,
    STRIDED,
    VALID,
    First,
    double_3x3,
    expanded_filter_bank,
    factorized,
    grid_reduction,
    inception_double3x3,
    pooled_projection,
)
from convatlas.architectures.inception.v4_keys import TIMM_KEYS, ZHULF_KEYS
from convatlas.errors import UsageError
from convatlas.layers import (
    Concat,
    check_counts,
    check_dropout,
    classifier,
    initialize_kaiming,
    sequential,
)

# The mean of the pixels inside the image: of 4 or 6 at the border, where Inception-v3 divides by 9.
AVERAGE = partial(nn.AvgPool2d, 3, stride=1, padding=1, count_include_pad=False)
REDUCTION_A = (192, 224, 256, 384)  # k, l, m, n of table 1


def stem(in_channels: int, *, first: First = "row") -> nn.Sequential:
    """Builds figure 3: (N, in_channels, 299, 299) -> (N, 384, 35, 35).

    `first` is the order in the factorised 7x7: row in the released weights, column in the figure.
    """
    return sequential(
        conv1=VALID(in_channels, 32, 3, stride=2),
        conv2=VALID(32, 32, 3),
        conv3=CONV(32, 64, 3),
        mixed1=Concat(pool=STRIDED(), conv=VALID(64, 96, 3, stride=2)),
        mixed2=Concat(
            branch3x3=sequential(reduce=CONV(160, 64, 1), conv=VALID(64, 96, 3)),
            branch7x7=sequential(
                reduce=CONV(160, 64, 1), conv1=factorized(64, (64, 64), 7, first=first), conv2=VALID(64, 96, 3)
            ),
        ),
        mixed3=Concat(conv=VALID(192, 192, 3, stride=2), pool=STRIDED()),
    )


def reduction_a(in_channels: int, widths: tuple[int, int, int, int]) -> Concat:
    """Builds Reduction-A, figure 7, with k, l, m, n of table 1: (N, C, 35, 35) -> (N, C + m + n, 17, 17)."""
    reduce, middle, double, single = widths
    return grid_reduction(
        branch3x3=VALID(in_channels, single, 3, stride=2),
        branch_double=double_3x3(in_channels, (reduce, middle, double), stride=2, padding=0),
    )


def inception_a() -> Concat:
    """Builds Inception-A, figure 4: (N, 384, 35, 35) -> (N, 384, 35, 35)."""
    return inception_double3x3(384, (96, 64, 96, 64, 96, 96), pool=AVERAGE)


def inception_b() -> Concat:
    """Builds Inception-B, figure 5: (N, 1024, 17, 17) -> (N, 1024, 17, 17)."""
    return Concat(
        branch1x1=CONV(1024, 384, 1),
        branch7x7=sequential(reduce=CONV(1024, 192, 1), conv=factorized(192, (224, 256), 7)),
        branch_double=sequential(
            reduce=CONV(1024, 192, 1),
            conv1=factorized(192, (192, 224), 7, first="column"),
            conv2=factorized(224, (224, 256), 7, first="column"),
        ),
        branch_pool=pooled_projection(1024, 128, pool=AVERAGE),
    )


def reduction_b() -> Concat:
    """Builds Reduction-B, figure 8: (N, 1024, 17, 17) -> (N, 1536, 8, 8)."""
    return grid_reduction(
        branch3x3=sequential(reduce=CONV(1024, 192, 1), conv=VALID(192, 192, 3, stride=2)),
        branch7x7=sequential(
            reduce=CONV(1024, 256, 1), conv1=factorized(256, (256, 320), 7), conv2=VALID(320, 320, 3, stride=2)
        ),
    )


def inception_c() -> Concat:
    """Builds Inception-C, figure 6: (N, 1536, 8, 8) -> (N, 1536, 8, 8)."""
    return Concat(
        branch1x1=CONV(1536, 256, 1),
        branch3x3=sequential(reduce=CONV(1536, 384, 1), expand=expanded_filter_bank(384, 256)),
        branch_double=sequential(
            reduce=CONV(1536, 384, 1),
            conv=factorized(384, (448, 512), 3, first="column"),
            expand=expanded_filter_bank(512, 256),
        ),
        branch_pool=pooled_projection(1536, 256, pool=AVERAGE),
    )


def inception_v4(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    depths: tuple[int, ...] = (4, 7, 3),
    dropout: float = 0.2,
) -> nn.Sequential:
    """Builds figure 9: (N, in_channels, H, W) -> (N, num_classes), for 299 pixels, at least 75.

    There are `depths` modules A, B and C. A fifth of the features is dropped before the classifier, as in the paper;
    timm drops none by default. Initialisation as in TF-slim, but not truncated: convolutions Kaiming normal by fan-in,
    the classifier Xavier uniform with bias 0. Raises `UsageError` for other than three depths, and unless
    0 <= dropout < 1.
    """
    check_counts(depths=depths)
    if len(depths) != 3:
        raise UsageError(f"depths={depths} must be three numbers, for modules A, B and C")
    check_dropout(dropout)
    a, b, c = depths
    network = sequential(
        stem=stem(in_channels),
        stage1=nn.Sequential(*(inception_a() for _ in range(a))),
        reduction1=reduction_a(384, REDUCTION_A),
        stage2=nn.Sequential(*(inception_b() for _ in range(b))),
        reduction2=reduction_b(),
        stage3=nn.Sequential(*(inception_c() for _ in range(c))),
        head=classifier(1536, num_classes, dropout=dropout),
    )
    initialize_kaiming(network, activation="relu", fan="fan_in")
    nn.init.xavier_uniform_(network.get_parameter("head.fc.weight"))
    nn.init.zeros_(network.get_parameter("head.fc.bias"))
    return network


PAPER = Paper(
    "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
    "Szegedy, Ioffe, Vanhoucke, Alemi",
    2016,
    "https://arxiv.org/abs/1602.07261",
)
TF_SLIM = "TF-slim's README, as zhulf0804/Inceptionv4_and_Inception-ResNetv2.PyTorch's quotes it, one crop of 299"

ROWS = (
    Architecture(
        "inception_v4",
        builder=inception_v4,
        paper=PAPER,
        dataset="imagenet",
        image_size=299,
        num_classes=1000,
        params=42_679_816,
        macs=12_253_974_624,
        published=(Published(0.801, "validation", "imagenet", TF_SLIM),),
        layouts={"timm": TIMM_KEYS, "zhulf": ZHULF_KEYS},
        note="the network of the released weights: in some factorised convolutions, rows and columns have another "
        "order than in the paper's figures",
    ),
)
