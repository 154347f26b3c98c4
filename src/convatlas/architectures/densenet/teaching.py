"""The textbook's DenseNet, with single 3x3 convolutions at ImageNet's size.

`densenet_textbook` is the network of Dive into Deep Learning (Zhang, Lipton, Li, Smola 2021).

>>> from convatlas.complexity import outline
>>> print(outline("densenet_textbook"))
stem          64 x 56 x 56       9,600
block1       192 x 56 x 56     130,048
transition1   96 x 28 x 28      18,912
block2       224 x 28 x 28     167,168
transition2  112 x 14 x 14      25,648
block3       240 x 14 x 14     185,728
transition3    120 x 7 x 7      29,400
block4         248 x 7 x 7     195,008
norm           248 x 7 x 7         496
act            248 x 7 x 7           0
head                    10       2,490

Departs from the paper: the layers have no bottleneck; in the paper only CIFAR networks lack it. Each block has four
layers. All convolutions keep their biases.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture
from convatlas.architectures.densenet.blocks import dense_block, dense_stages
from convatlas.architectures.sources import TEXTBOOK, textbook_published
from convatlas.layers import (
    Concat,
    ConvNormAct,
    activation_layer,
    check_counts,
    classifier,
    initialize_xavier,
    sequential,
)

RELU = activation_layer("relu")


def norm_act_conv(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    """Builds norm, activation and a convolution with bias: (N, in, H, W) -> (N, out, H, W)."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)
    return sequential(norm=nn.BatchNorm2d(in_channels), act=RELU(), conv=conv)


def textbook_layer(in_channels: int, *, growth_rate: int) -> Concat:
    """Builds a 3x3 layer whose output joins its input: (N, C, H, W) -> (N, C + growth_rate, H, W)."""
    return Concat(old=nn.Identity(), new=sequential(conv1=norm_act_conv(in_channels, growth_rate, 3)))


def textbook_transition(in_channels: int) -> tuple[nn.Sequential, int]:
    """Builds the halving of channels, height and width; returns also the channels that are kept."""
    kept = in_channels // 2
    return sequential(conv=norm_act_conv(in_channels, kept, 1), pool=nn.AvgPool2d(2)), kept


def densenet_textbook(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    depths: tuple[int, ...] = (4, 4, 4, 4),
    growth_rate: int = 32,
    stem_channels: int = 64,
) -> nn.Sequential:
    """Builds the textbook's network: (N, in_channels, H, W) -> (N, num_classes), for 224 pixels.

    Four blocks need at least 29 pixels. Initialisation: Xavier uniform, biases at PyTorch's default. Raises
    `UsageError` for counts below 1.
    """
    check_counts(depths=depths, growth_rate=growth_rate, stem_channels=stem_channels)
    conv = ConvNormAct(in_channels, stem_channels, 7, stride=2, bias=True, act=RELU)
    block = partial(dense_block, growth_rate=growth_rate, layer=textbook_layer)
    blocks, channels = dense_stages(stem_channels, depths, block=block, between=textbook_transition)
    network = sequential(
        stem=sequential(conv=conv, pool=nn.MaxPool2d(3, 2, padding=1)),
        **blocks,
        norm=nn.BatchNorm2d(channels),
        act=RELU(),
        head=classifier(channels, num_classes),
    )
    initialize_xavier(network)
    return network


ROWS = (
    Architecture(
        "densenet_textbook",
        builder=densenet_textbook,
        paper=TEXTBOOK,
        dataset="cifar10",
        image_size=224,
        params=764_498,
        macs=781_418_416,
        published=textbook_published(0.7458, "cifar10", pixels=224),
        recipe="textbook",
        note="the textbook's network: 3x3 convolutions only, with biases",
    ),
)
