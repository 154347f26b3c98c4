"""ResNet: each block learns what to add to its input, so that depth does no harm.

He, Zhang, Ren, Sun. Deep Residual Learning for Image Recognition. CVPR 2016. https://arxiv.org/abs/1512.03385
He, Zhang, Ren, Sun. Identity Mappings in Deep Residual Networks. ECCV 2016. https://arxiv.org/abs/1603.05027
`resnet_uva` and `preact_resnet_uva` are the CIFAR-size networks of the University of Amsterdam's deep learning tutorial
5 (Lippe, 2020).

>>> from convatlas.complexity import outline
>>> print(outline("resnet_uva"))
stem    16 x 32 x 32         464
stage1  16 x 32 x 32      14,016
stage2  32 x 16 x 16      51,616
stage3    64 x 8 x 8     205,632
head              10         650

Departs from the papers: where a block of `resnet_uva` changes the size, its shortcut is a 1x1 convolution of stride 2
with a bias and no norm; the paper's ResNet-20 subsamples without parameters. In `preact_resnet_uva` such a shortcut has
its own norm and activation instead of sharing the branch's, and no norm and activation stand before the pooling.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import nn

from convatlas.architecture import Architecture
from convatlas.architectures.sources import UVA_TUTORIAL, uva_published, uva_weights
from convatlas.errors import UsageError, unknown
from convatlas.layers import (
    Activation,
    ConvNormAct,
    Layer,
    NormActConv,
    Residual,
    activation_layer,
    check_counts,
    classifier,
    initialize_kaiming,
    sequential,
)


def basic_block(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> Residual:
    """Builds two 3x3 convolutions, activation after the sum: (N, in, H, W) -> (N, out, H / stride, W / stride)."""
    branch = sequential(
        conv1=ConvNormAct(in_channels, out_channels, 3, stride=stride, act=act),
        conv2=ConvNormAct(out_channels, out_channels, 3, act=None),
    )
    shortcut = nn.Conv2d(in_channels, out_channels, 1, stride=stride) if stride > 1 else None
    return Residual(branch, shortcut=shortcut, act=act())


def preactivation_block(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> Residual:
    """Builds two 3x3 convolutions, each after norm and activation: (N, in, H, W) -> (N, out, H / stride, ...)."""
    branch = sequential(
        conv1=NormActConv(in_channels, out_channels, 3, stride=stride, act=act),
        conv2=NormActConv(out_channels, out_channels, 3, act=act),
    )
    shortcut = NormActConv(in_channels, out_channels, 1, stride=stride, act=act) if stride > 1 else None
    return Residual(branch, shortcut=shortcut)


BLOCKS = {"basic": basic_block, "preactivation": preactivation_block}


def resnet_uva(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    depths: tuple[int, ...] = (3, 3, 3),
    widths: tuple[int, ...] = (16, 32, 64),
    block: Literal["basic", "preactivation"] = "basic",
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds the tutorial's ResNet: (N, in_channels, H, W) -> (N, num_classes).

    Each stage has `depths` blocks of `widths` channels; each stage but the first halves height and width. Between two
    stages the tutorial always projects, also where the width stays. Initialisation: Kaiming normal by fan-out. Raises
    `UsageError` for an unknown block or activation and for depths and widths that do not match.
    """
    if block not in BLOCKS:
        raise unknown("block", block, BLOCKS)
    check_counts(depths=depths, widths=widths)
    if len(depths) != len(widths):
        raise UsageError(f"depths={depths} and widths={widths} must have one entry for each stage")
    act = activation_layer(activation)
    if block == "basic":
        stem: nn.Module = ConvNormAct(in_channels, widths[0], 3, act=act)
    else:  # the first block begins with a norm of its own
        stem = sequential(conv=nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False))
    stages = {}
    channels = widths[0]
    for index, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        strides = (1 if index == 1 else 2,) + (1,) * (depth - 1)
        blocks = []
        for stride in strides:
            blocks.append(BLOCKS[block](channels, width, stride=stride, act=act))
            channels = width
        stages[f"stage{index}"] = nn.Sequential(*blocks)
    network = sequential(stem=stem, **stages, head=classifier(channels, num_classes))
    initialize_kaiming(network, activation=activation, fan="fan_out")
    return network


# The tutorial numbers its nine blocks from 0 to 8; our numbers start again in each stage.
_STAGES: dict[str, str | None] = {
    "input_net.0": "stem.conv",
    "input_net.1": "stem.norm",
    **{f"blocks.{index}": f"stage{index // 3 + 1}.{index % 3}" for index in range(9)},
    "output_net.2": "head.fc",
}
UVA_KEYS: tuple[dict[str, str | None], ...] = (
    _STAGES,
    {
        "stage{}.{}.net.0": "stage{}.{}.branch.conv1.conv",
        "stage{}.{}.net.1": "stage{}.{}.branch.conv1.norm",
        "stage{}.{}.net.3": "stage{}.{}.branch.conv2.conv",
        "stage{}.{}.net.4": "stage{}.{}.branch.conv2.norm",
        "stage{}.{}.downsample": "stage{}.{}.shortcut",
        "stem": "stem",
        "head": "head",
    },
)
UVA_PREACTIVATION_KEYS: tuple[dict[str, str | None], ...] = (
    {row: ours for row, ours in _STAGES.items() if row != "input_net.1"},
    {
        "stage{}.{}.net.0": "stage{}.{}.branch.conv1.norm",
        "stage{}.{}.net.2": "stage{}.{}.branch.conv1.conv",
        "stage{}.{}.net.3": "stage{}.{}.branch.conv2.norm",
        "stage{}.{}.net.5": "stage{}.{}.branch.conv2.conv",
        "stage{}.{}.downsample.0": "stage{}.{}.shortcut.norm",
        "stage{}.{}.downsample.2": "stage{}.{}.shortcut.conv",
        "stem": "stem",
        "head": "head",
    },
)

ROWS = (
    Architecture(
        "resnet_uva",
        builder=resnet_uva,
        paper=UVA_TUTORIAL,
        dataset="cifar10",
        params=272_378,
        macs=40_813_184,
        published=uva_published(validation=0.9184, test=0.9106),
        weights=(
            uva_weights(
                "ResNet.ckpt",
                sha256="c16348ee82a12444310bd9953f8cbe50d3654657ca76f6eb54e116714ce52a1a",
                keys=UVA_KEYS,
            ),
        ),
        recipe="uva_sgd",
        note="the tutorial's CIFAR-size network: biased 1x1 shortcuts where ResNet-20 subsamples",
    ),
    Architecture(
        "preact_resnet_uva",
        builder=partial(resnet_uva, block="preactivation"),
        paper=UVA_TUTORIAL,
        dataset="cifar10",
        params=272_250,
        macs=40_813_184,
        published=uva_published(validation=0.9180, test=0.9107),
        weights=(
            uva_weights(
                "ResNetPreAct.ckpt",
                sha256="4ab71bf72ec58b72f800f5cec4822f1f25e2c47ca4cdc6eecc328d0681baf376",
                keys=UVA_PREACTIVATION_KEYS,
            ),
        ),
        recipe="uva_sgd",
        note="the tutorial's CIFAR-size network: no norm and activation before the pooling",
    ),
)
