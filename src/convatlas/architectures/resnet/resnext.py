"""ResNeXt: the 3x3 convolution of a bottleneck works in groups, many narrow paths for the cost of one wide path.

Xie, Girshick, Dollar, Tu, He. Aggregated Residual Transformations for Deep Neural Networks. CVPR 2017.
https://arxiv.org/abs/1611.05431, figure 3 (c); 32x4d means 32 groups of 4 channels.

>>> from convatlas.complexity import outline
>>> print(outline("resnext50_32x4d"))
stem      64 x 56 x 56       9,536
stage1   256 x 56 x 56     205,824
stage2   512 x 28 x 28   1,197,056
stage3  1024 x 14 x 14   7,022,592
stage4    2048 x 7 x 7  14,544,896
head              1000   2,049,000

Departs from the paper: nothing in `resnext50_32x4d`; the paper has no 32x8d. `resnext29_32x4d_cifar` is the network of
https://github.com/kuangliu/pytorch-cifar. Its stem is a 1x1 convolution, it has 32 groups of 4 channels, and its
activations come after the norms. The paper's CIFAR networks begin with a 3x3 convolution, have groups of 64 channels
and are pre-activation networks.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Family, Paper, Published
from convatlas.architectures.resnet.blocks import bottleneck_block, residual_stages
from convatlas.architectures.resnet.imagenet import TABLE_1, check_block, imagenet_row, resnet, torchvision_results
from convatlas.architectures.resnet.keys import AKAMASTER_OPTION_B_KEYS
from convatlas.layers import Activation, ConvNormAct, activation_layer, classifier, initialize_kaiming, sequential


def resnext_cifar(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    depths: tuple[int, ...] = (3, 3, 3),
    widths: tuple[int, ...] = (256, 512, 1024),
    groups: int = 32,
    group_width: int = 4,
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds a 1x1 stem of 64 channels and stages of bottlenecks: (N, in_channels, H, W) -> (N, num_classes).

    Each stage has `depths` blocks of `widths` output channels; each stage but the first halves height and width. A
    block of 256 outputs has `groups` groups of `group_width` channels. Initialisation: Kaiming normal by fan-out;
    PyTorch's default for the linear layer. Raises `UsageError` for an unknown activation, for depths and widths that do
    not match, and for groups that the widths do not fill.
    """
    check_block("bottleneck", depths=depths, widths=widths, groups=groups, group_width=group_width)
    act = activation_layer(activation)
    block = partial(bottleneck_block, act=act, groups=groups, group_width=group_width)
    stages = residual_stages(64, depths=depths, widths=widths, block=block)
    network = sequential(
        stem=ConvNormAct(in_channels, 64, 1, act=act), **stages, head=classifier(widths[-1], num_classes)
    )
    initialize_kaiming(network, activation=activation, fan="fan_out")
    return network


PAPER = Paper(
    "Aggregated Residual Transformations for Deep Neural Networks",
    "Xie, Girshick, Dollar, Tu, He",
    2016,
    "https://arxiv.org/abs/1611.05431",
)

_row = partial(imagenet_row, paper=PAPER)
_published_50, _weights_50 = torchvision_results(
    ("resnext50_32x4d-7cdf4587.pth", 0.77618), ("resnext50_32x4d-1a0047aa.pth", 0.81198)
)
_published_101, _weights_101 = torchvision_results(
    ("resnext101_32x8d-8ba56ff5.pth", 0.79312), ("resnext101_32x8d-110c445d.pth", 0.82834)
)

ROWS = (
    _row(
        "resnext50_32x4d",
        builder=partial(resnet, depths=TABLE_1[50], groups=32, group_width=4),
        params=25_028_904,
        macs=4_230_479_872,
        published=(
            Published(0.778, "validation", "imagenet", "the paper's table 3 and the authors' README, one crop of 224"),
            *_published_50,
        ),
        weights=_weights_50,
    ),
    _row(
        "resnext101_32x8d",
        builder=partial(resnet, depths=TABLE_1[101], groups=32, group_width=8),
        params=88_791_336,
        macs=16_414_015_488,
        published=_published_101,
        weights=_weights_101,
        note="torchvision's; the paper's 101-layer networks are 32x4d and 64x4d",
    ),
    Architecture(
        "resnext29_32x4d_cifar",
        builder=resnext_cifar,
        paper=PAPER,
        dataset="cifar10",
        params=4_774_218,
        macs=772_483_072,
        published=(
            Published(0.9473, "test", "cifar10", "kuangliu/pytorch-cifar's README, best epoch by the test set"),
        ),
        layouts={"kuangliu": AKAMASTER_OPTION_B_KEYS},
        note="kuangliu's, not the paper's: a 1x1 stem, 32x4d, activations after the norms",
    ),
)

FAMILY = Family(
    "resnext",
    title="ResNeXt",
    docstring=__doc__,
    rows=ROWS,
    shown="resnext50_32x4d",
    opened=("stage2.1",),
    lineage=("resnext101_32x8d",),
)
