"""Inception-ResNet: inception modules as residual branches, each scaled down so that wide ones train stably too.

Szegedy, Ioffe, Vanhoucke, Alemi. Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning.
AAAI 2017. https://arxiv.org/abs/1602.07261

>>> from convatlas.complexity import outline
>>> print(outline("inception_resnet_v1"))
stem        256 x 35 x 35     615,552
stage1      256 x 35 x 35     387,200
reduction1  896 x 17 x 17   1,710,080
stage2      896 x 17 x 17   6,900,480
reduction2   1792 x 8 x 8   3,346,176
stage3       1792 x 8 x 8   8,003,840
head                 1000   1,793,000

Departs from the paper: nothing in the figures. Details that they leave open follow the released code of the second
version, https://github.com/tensorflow/models/tree/master/research/slim: batch norm's epsilon, the initial weights and
the scales. Section 3.3 says only that the scales are between 0.1 and 0.3; the code has 0.17, 0.10 and 0.20. The authors
released no weights. `inception_resnet_v1_facenet` is the network of https://github.com/timesler/facenet-pytorch, the
port of https://github.com/davidsandberg/facenet for faces. `inception_resnet_v1_cifar_stem` is ours.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture
from convatlas.architectures.inception.blocks import CONV, VALID
from convatlas.architectures.inception.residual import (
    SCALES,
    STAGE_KEYS,
    Widths,
    check_options,
    first_layers,
    initialize,
    residual_stages,
    stages_with_linear_end,
)
from convatlas.architectures.inception.v4 import PAPER
from convatlas.architectures.inception.v4_keys import layer_keys
from convatlas.layers import check_counts, classifier, sequential

# Table 1 and figures 10, 11, 12 and 13.
WIDTHS = Widths(
    a=(32, (32, 32), (32, 32, 32)),
    reduction_a=(192, 192, 256, 384),
    b=(128, (128, 128, 128)),
    reduction_b=((256, 384), (256, 256), (256, 256, 256)),
    c=(192, (192, 192, 192)),
)


def stem(in_channels: int) -> nn.Sequential:
    """Builds figure 14: (N, in_channels, 299, 299) -> (N, 256, 35, 35)."""
    return sequential(**first_layers(in_channels), conv6=VALID(192, 256, 3, stride=2))


def inception_resnet_v1(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    depths: tuple[int, ...] = (5, 10, 5),
    scales: tuple[float, ...] = SCALES,
    dropout: float = 0.2,
) -> nn.Sequential:
    """Builds figure 15 with the modules of figures 7 and 10 to 14: (N, in_channels, H, W) -> (N, num_classes).

    The network is for 299 pixels, at least 75. There are `depths` blocks A, B and C; each kind multiplies its branches
    by its entry of `scales` and adds them. A fifth of the features is dropped before the classifier. Initialisation as
    in TF-slim's second version: Xavier uniform, biases 0. Raises `UsageError` for other than three depths or three
    positive scales, and unless 0 <= dropout < 1.
    """
    check_options(depths, scales, dropout)
    stages, channels = residual_stages(256, WIDTHS, depths=depths, scales=scales)
    head = classifier(channels, num_classes, dropout=dropout)
    network = sequential(stem=stem(in_channels), **stages, head=head)
    initialize(network)
    return network


def inception_resnet_v1_facenet(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    depths: tuple[int, ...] = (5, 10, 6),
    scales: tuple[float, ...] = SCALES,
    embedding: int = 512,
    dropout: float = 0.6,
) -> nn.Sequential:
    """Builds facenet-pytorch's network for faces of 160 pixels: (N, in_channels, H, W) -> (N, num_classes).

    H and W are at least 75. The last block C is neither scaled nor rectified. Before the classifier come dropout, a
    linear layer without bias to the `embedding` values that describe a face, and their batch norm. Initialisation and
    errors are those of `inception_resnet_v1`. Raises `UsageError` also for an embedding of less than one value.
    """
    check_options(depths, scales, dropout)
    check_counts(embedding=embedding)
    stages, channels = stages_with_linear_end(256, WIDTHS, depths=depths, scales=scales)
    head = sequential(
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        dropout=nn.Dropout(dropout),
        embedding=nn.Linear(channels, embedding, bias=False),
        norm=nn.BatchNorm1d(embedding, eps=1e-3),
        fc=nn.Linear(embedding, num_classes),
    )
    network = sequential(stem=stem(in_channels), **stages, head=head)
    initialize(network)
    return network


# Ours: three sixteenths of the paper's widths.
CIFAR_WIDTHS = Widths(
    a=(6, (6, 6), (6, 6, 6)),
    reduction_a=(36, 36, 48, 72),
    b=(24, (24, 24, 24)),
    reduction_b=((48, 72), (48, 48), (48, 48, 48)),
    c=(36, (36, 36, 36)),
)
CIFAR_STEM_CHANNELS = 48


def inception_resnet_v1_cifar_stem(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    depths: tuple[int, ...] = (3, 6, 3),
    scales: tuple[float, ...] = SCALES,
    dropout: float = 0.2,
) -> nn.Sequential:
    """Builds these blocks with few channels after a 3x3 stem of stride 1: (N, in_channels, H, W) -> (N, classes).

    The network is for 32 pixels, at least 7. Initialisation and errors are those of `inception_resnet_v1`.
    """
    check_options(depths, scales, dropout)
    stages, channels = residual_stages(CIFAR_STEM_CHANNELS, CIFAR_WIDTHS, depths=depths, scales=scales)
    head = classifier(channels, num_classes, dropout=dropout)
    network = sequential(stem=CONV(in_channels, CIFAR_STEM_CHANNELS, 3), **stages, head=head)
    initialize(network)
    return network


# The names in https://github.com/timesler/facenet-pytorch, with its classifier.
FACENET_KEYS = (
    {
        "conv2d_1a": "stem.1a",
        "conv2d_2a": "stem.2a",
        "conv2d_2b": "stem.2b",
        "conv2d_3b": "stem.3b",
        "conv2d_4a": "stem.4a",
        "conv2d_4b": "stem.4b",
        "repeat_{}": "stage{}",
        "mixed_6a": "reduction1",
        "mixed_7a": "reduction2",
        "block8": "stage3.5",
        "last_linear": "head.embedding",
        "last_bn": "head.norm",
        "logits": "head.fc",
    },
    STAGE_KEYS
    | layer_keys({"stem": {"1a": "conv1", "2a": "conv2", "2b": "conv3", "3b": "conv4", "4a": "conv5", "4b": "conv6"}})
    | {"head": "head"},
)

_row = partial(Architecture, paper=PAPER)

ROWS = (
    _row(
        "inception_resnet_v1",
        builder=inception_resnet_v1,
        dataset="imagenet",
        image_size=299,
        num_classes=1000,
        params=22_756_328,
        macs=6_206_361_696,
        note="the paper's figures 7 and 10 to 15; the authors released no weights",
    ),
    _row(
        "inception_resnet_v1_facenet",
        builder=inception_resnet_v1_facenet,
        image_size=299,
        num_classes=1000,
        params=23_995_624,
        macs=6_308_235_360,
        layouts={"facenet": FACENET_KEYS},
        note="facenet-pytorch's, for faces: one more block C, and a linear layer to 512 values before the classifier; "
        "its files tell 8,631 or 10,575 people apart, on 160 pixels; the counts are for the paper's classes and pixels",
    ),
    _row(
        "inception_resnet_v1_cifar_stem",
        builder=inception_resnet_v1_cifar_stem,
        dataset="cifar10",
        params=509_542,
        macs=88_415_616,
        note="not the paper's: three fifths of its blocks with three sixteenths of their channels after a 3x3 stem, "
        "for images of 32 pixels",
    ),
)
