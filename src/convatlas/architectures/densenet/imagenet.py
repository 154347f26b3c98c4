"""DenseNet at ImageNet size: every layer sees the features of all earlier layers of its block.

Huang, Liu, van der Maaten, Weinberger. Densely Connected Convolutional Networks. CVPR 2017.
https://arxiv.org/abs/1608.06993; the authors' code is https://github.com/liuzhuang13/DenseNet.

>>> from convatlas.complexity import outline
>>> print(outline("densenet121"))
stem           64 x 56 x 56       9,536
block1        256 x 56 x 56     335,040
transition1   128 x 28 x 28      33,280
block2        512 x 28 x 28     919,680
transition2   256 x 14 x 14     132,096
block3       1024 x 14 x 14   2,837,760
transition3     512 x 7 x 7     526,336
block4         1024 x 7 x 7   2,158,080
norm           1024 x 7 x 7       2,048
act            1024 x 7 x 7           0
head                   1000   1,025,000

Departs from the paper: nothing in the networks. `densenet161` is in the paper's first versions and in the authors'
code, `densenet264` is in the later versions. The paper trains its ImageNet networks without dropout.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Published
from convatlas.architectures.densenet.blocks import (
    RecomputedBlock,
    bottleneck_layer,
    check_fractions,
    dense_block,
    dense_stages,
    transition,
)
from convatlas.architectures.densenet.cifar import PAPER
from convatlas.architectures.sources import torchvision_published, torchvision_weights
from convatlas.layers import (
    Activation,
    ConvNormAct,
    activation_layer,
    check_counts,
    classifier,
    initialize_kaiming,
    sequential,
)


def densenet(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    depths: tuple[int, ...] = (6, 12, 24, 16),
    growth_rate: int = 32,
    stem_channels: int = 64,
    compression: float = 0.5,
    dropout: float = 0.0,
    memory_efficient: bool = False,
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds the network of the paper's table 1: (N, in_channels, H, W) -> (N, num_classes), for 224 pixels.

    Four blocks need at least 29 pixels. Each block has `depths` bottleneck layers; transitions keep `compression` of
    the channels. `dropout` follows every convolution but the first. With `memory_efficient` the blocks keep less for
    the gradients and compute it again (`RecomputedBlock`). Initialisation as in the authors' code: Kaiming normal by
    fan-out; the linear layer uniform within 1 / sqrt(fan-in), which is also PyTorch's default, with bias 0. Raises
    `UsageError` for an unknown activation, for counts below 1, and for fractions outside their range.
    """
    check_counts(depths=depths, growth_rate=growth_rate, stem_channels=stem_channels)
    check_fractions(compression=compression, dropout=dropout)
    act = activation_layer(activation)
    conv = ConvNormAct(in_channels, stem_channels, 7, stride=2, act=act)
    block = partial(
        dense_block,
        growth_rate=growth_rate,
        layer=partial(bottleneck_layer, act=act, dropout=dropout),
        kind=RecomputedBlock if memory_efficient else nn.Sequential,
    )
    between = partial(transition, act=act, compression=compression, dropout=dropout)
    blocks, channels = dense_stages(stem_channels, depths, block=block, between=between)
    stem, head = sequential(conv=conv, pool=nn.MaxPool2d(3, 2, padding=1)), classifier(channels, num_classes)
    network = sequential(stem=stem, **blocks, norm=nn.BatchNorm2d(channels), act=act(), head=head)
    initialize_kaiming(network, activation=activation, fan="fan_out")
    nn.init.zeros_(head.get_parameter("fc.bias"))
    return network


_AROUND_THE_LAYERS: dict[str, str | None] = {
    "features.conv0": "stem.conv.conv",
    "features.norm0": "stem.conv.norm",
    "features.transition{}.norm": "transition{}.conv.norm",
    "features.transition{}.conv": "transition{}.conv.conv",
    "features.norm5": "norm",
    "classifier": "head.fc",
}
# The published files are older than torchvision's code. Some of their names contain dots, which PyTorch now forbids.
PUBLISHED_KEYS = _AROUND_THE_LAYERS | {
    "features.denseblock{}.denselayer{}.norm.{}": "block{}.{-1}.new.conv{}.norm",
    "features.denseblock{}.denselayer{}.conv.{}": "block{}.{-1}.new.conv{}.conv",
}
# The names in torchvision's code and in timm's.
TORCHVISION_KEYS = _AROUND_THE_LAYERS | {
    "features.denseblock{}.denselayer{}.norm{}": "block{}.{-1}.new.conv{}.norm",
    "features.denseblock{}.denselayer{}.conv{}": "block{}.{-1}.new.conv{}.conv",
}

# Table 1. layers: layers in each block.
TABLE_1 = {
    121: (6, 12, 24, 16),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
    161: (6, 12, 36, 24),
    264: (6, 12, 64, 48),
}
WIDE = partial(densenet, growth_rate=48, stem_channels=96)
# layers: parameters, MACs, the accuracy that the authors' README states, torchvision's file and accuracy.
PUBLISHED = {
    121: (7_978_856, 2_834_161_664, 0.750, "densenet121-a639ec97.pth", 0.74434),
    169: (14_149_480, 3_359_843_328, 0.764, "densenet169-b2777c0a.pth", 0.75600),
    201: (20_013_928, 4_291_365_888, 0.775, "densenet201-c1103571.pth", 0.76896),
    161: (28_681_000, 7_727_907_072, 0.778, "densenet161-8d451a50.pth", 0.77138),
}
README = "liuzhuang13/DenseNet's README, one crop of 224 pixels, rounded to 0.1 %"

_row = partial(Architecture, paper=PAPER, dataset="imagenet", image_size=224, num_classes=1000)


def _published_row(layers: int) -> Architecture:
    params, macs, top1, file, torchvision_top1 = PUBLISHED[layers]
    return _row(
        f"densenet{layers}",
        builder=partial(WIDE if layers == 161 else densenet, depths=TABLE_1[layers]),
        params=params,
        macs=macs,
        published=(Published(top1, "validation", "imagenet", README), torchvision_published(torchvision_top1)),
        weights=(torchvision_weights(file, keys=PUBLISHED_KEYS),),
        layouts={"torchvision": TORCHVISION_KEYS},
    )


ROWS = (
    *(_published_row(layers) for layers in PUBLISHED),
    _row(
        "densenet264",
        builder=partial(densenet, depths=TABLE_1[264]),
        params=33_337_704,
        macs=5_751_653_376,
        published=(Published(0.779, "validation", "imagenet", README),),
        layouts={"torchvision": TORCHVISION_KEYS},
        note="no weights were published in PyTorch's format",
    ),
)
