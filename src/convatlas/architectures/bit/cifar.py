"""The units of BiT at CIFAR size: a small network of ours with group norm and standardised convolutions.

The units are those of https://arxiv.org/abs/1912.11370; the network is ours, for small images and small machines.

>>> from convatlas.complexity import outline
>>> print(outline("bit_resnet26_cifar"))
stem     16 x 32 x 32         432
stage1   64 x 32 x 32       9,248
stage2  128 x 16 x 16      41,600
stage3    256 x 8 x 8     165,120
stage4    512 x 4 x 4     657,920
norm      512 x 4 x 4       1,024
act       512 x 4 x 4           0
head               10       5,130

Departs from the paper: the paper's networks are larger, and they see images of 128 pixels on CIFAR. This network has a
quarter of the width of the paper's narrowest network, and as many channels in a group. It has two units in each stage,
and a 3x3 stem without pooling, for 32 pixels.
"""

from __future__ import annotations

from torch import nn

from convatlas.architecture import Architecture
from convatlas.architectures.bit.blocks import PAPER, StandardizedConv2d, standardized_stages, zero_head
from convatlas.layers import Activation, activation_layer, sequential


def bit_resnet_cifar(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    stem_channels: int = 16,
    depths: tuple[int, ...] = (2, 2, 2, 2),
    widths: tuple[int, ...] = (64, 128, 256, 512),
    groups: int = 8,
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds BiT's stages after a 3x3 convolution of stride 1: (N, in_channels, H, W) -> (N, num_classes).

    Options, initial weights and errors are those of `bit_resnet`.
    """
    act = activation_layer(activation)
    stages = standardized_stages(stem_channels, depths=depths, widths=widths, groups=groups, act=act)
    stem = sequential(conv=StandardizedConv2d(in_channels, stem_channels, 3, padding=1, bias=False))
    return sequential(stem=stem, **stages, head=zero_head(widths[-1], num_classes))


ROWS = (
    Architecture(
        "bit_resnet26_cifar",
        builder=bit_resnet_cifar,
        paper=PAPER,
        dataset="cifar10",
        params=880_474,
        macs=45_798_400,
        note="not the paper's: the paper's units, a quarter as wide, after a 3x3 stem, for images of 32 pixels",
    ),
)
