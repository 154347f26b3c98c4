"""DenseNet: every layer sees the features of all earlier layers of its block.

Huang, Liu, van der Maaten, Weinberger. Densely Connected Convolutional Networks. CVPR 2017.
https://arxiv.org/abs/1608.06993
`densenet_uva` is the CIFAR-size network of the University of Amsterdam's deep learning tutorial 5 (Lippe, 2020).

>>> from convatlas.complexity import outline
>>> print(outline("densenet_uva"))
stem          32 x 32 x 32         896
block1       128 x 32 x 32      42,720
transition1   64 x 16 x 16       8,448
block2       160 x 16 x 16      49,248
transition2     80 x 8 x 8      13,120
block3         176 x 8 x 8      52,512
transition3     88 x 4 x 4      15,840
block4         184 x 4 x 4      54,144
norm           184 x 4 x 4         368
act            184 x 4 x 4           0
head                    10       1,850

Departs from the paper: there are four blocks at CIFAR size, where the paper has three. The bottleneck is 2 growth rates
wide, 4 in the paper. New features come before the old ones in the concatenation. The stem has a bias.
"""

from __future__ import annotations

from torch import nn

from convatlas.architecture import Architecture
from convatlas.architectures.sources import UVA_TUTORIAL, uva_published, uva_weights
from convatlas.layers import (
    Activation,
    Concat,
    Layer,
    NormActConv,
    activation_layer,
    check_counts,
    classifier,
    initialize_kaiming,
    sequential,
)


def dense_layer(in_channels: int, *, growth_rate: int, bottleneck: int, act: Layer) -> Concat:
    """Builds norm-act-conv 1x1 and 3x3, section 3 "Bottleneck layers"; the input comes after the new features.

    (N, C, H, W) -> (N, growth_rate + C, H, W).
    """
    width = bottleneck * growth_rate
    new = sequential(
        conv1=NormActConv(in_channels, width, 1, act=act),
        conv2=NormActConv(width, growth_rate, 3, act=act),
    )
    return Concat(new=new, old=nn.Identity())


def transition(in_channels: int, out_channels: int, *, act: Layer) -> nn.Sequential:
    """Builds norm-act-conv 1x1 and 2x2 average pooling: (N, in, H, W) -> (N, out, H / 2, W / 2)."""
    return sequential(conv=NormActConv(in_channels, out_channels, 1, act=act), pool=nn.AvgPool2d(2))


def densenet_uva(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    depths: tuple[int, ...] = (6, 6, 6, 6),
    growth_rate: int = 16,
    bottleneck: int = 2,
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds the tutorial's DenseNet: (N, in_channels, H, W) -> (N, num_classes), at least 8 pixels for four blocks.

    Initialisation: Kaiming normal by fan-in. Raises `UsageError` for an unknown activation and for counts below 1.
    """
    check_counts(depths=depths, growth_rate=growth_rate, bottleneck=bottleneck)
    act = activation_layer(activation)
    channels = bottleneck * growth_rate
    stages: dict[str, nn.Module] = {"stem": sequential(conv=nn.Conv2d(in_channels, channels, 3, padding=1))}
    for index, depth in enumerate(depths, start=1):
        if index > 1:
            stages[f"transition{index - 1}"] = transition(channels, channels // 2, act=act)
            channels //= 2
        layers = []
        for _ in range(depth):
            layers.append(dense_layer(channels, growth_rate=growth_rate, bottleneck=bottleneck, act=act))
            channels += growth_rate
        stages[f"block{index}"] = nn.Sequential(*layers)
    network = sequential(**stages, norm=nn.BatchNorm2d(channels), act=act(), head=classifier(channels, num_classes))
    initialize_kaiming(network, activation=activation, fan="fan_in")
    return network


# The tutorial's blocks and transitions share one counter: blocks 0, 2, 4, 6 are dense.
UVA_KEYS: tuple[dict[str, str | None], ...] = (
    {
        "input_net.0": "stem.conv",
        "blocks.0.block": "block1",
        "blocks.1.transition": "transition1",
        "blocks.2.block": "block2",
        "blocks.3.transition": "transition2",
        "blocks.4.block": "block3",
        "blocks.5.transition": "transition3",
        "blocks.6.block": "block4",
        "output_net.0": "norm",
        "output_net.4": "head.fc",
    },
    {
        "block{}.{}.net.0": "block{}.{}.new.conv1.norm",
        "block{}.{}.net.2": "block{}.{}.new.conv1.conv",
        "block{}.{}.net.3": "block{}.{}.new.conv2.norm",
        "block{}.{}.net.5": "block{}.{}.new.conv2.conv",
        "transition{}.0": "transition{}.conv.norm",
        "transition{}.2": "transition{}.conv.conv",
        "stem": "stem",
        "norm": "norm",
        "head": "head",
    },
)

ROWS = (
    Architecture(
        "densenet_uva",
        builder=densenet_uva,
        paper=UVA_TUTORIAL,
        dataset="cifar10",
        params=239_146,
        macs=72_279_856,
        published=uva_published(validation=0.9072, test=0.9023),
        weights=(
            uva_weights(
                "DenseNet.ckpt",
                sha256="43c8506c9562f000e13b21f2417bad5a44acce37949fd4d55b3596fc2da2e684",
                keys=UVA_KEYS,
            ),
        ),
        recipe="uva_adam",
        note="the tutorial's CIFAR-size network, not one of the paper's",
    ),
)
