"""ResNet at ImageNet size: each block learns what to add to its input, so that depth does no harm.

He, Zhang, Ren, Sun. Deep Residual Learning for Image Recognition. CVPR 2016. https://arxiv.org/abs/1512.03385

>>> from convatlas.complexity import outline
>>> print(outline("resnet50"))
stem      64 x 56 x 56       9,536
stage1   256 x 56 x 56     215,808
stage2   512 x 28 x 28   1,219,584
stage3  1024 x 14 x 14   7,098,368
stage4    2048 x 7 x 7  14,964,736
head              1000   2,049,000

Departs from the paper: `resnet50`, `101` and `152` have the stride on the 3x3 convolution (v1.5), like the published
weights; `*_v1` are the paper's networks, with the stride on the first 1x1. `resnet18` and `34` project where the size
changes (option B), like the published weights; `*_a` are the networks of the paper's table 2, with zero channels.
`*_cifar_stem` are the networks of https://github.com/kuangliu/pytorch-cifar: a 3x3 stem without pooling, for 32 pixels;
in kuangliu's code the initial weights are PyTorch's default.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Literal

from torch import nn

from convatlas.architecture import Architecture, Paper, Published, Weights
from convatlas.architectures.resnet.blocks import (
    Block,
    bottleneck_block,
    bottleneck_v1_block,
    option_a_block,
    option_b_block,
    plain_block,
    residual_stages,
)
from convatlas.architectures.resnet.keys import AKAMASTER_OPTION_B_KEYS, TORCHVISION_KEYS
from convatlas.architectures.sources import torchvision_published, torchvision_weights
from convatlas.errors import UsageError, unknown
from convatlas.layers import (
    Activation,
    ConvNormAct,
    Layer,
    activation_layer,
    check_counts,
    check_stages,
    classifier,
    initialize_kaiming,
    sequential,
)

BLOCKS = {
    "basic": option_b_block,
    "option_a": option_a_block,
    "plain": plain_block,
    "bottleneck": bottleneck_block,
    "bottleneck_v1": bottleneck_v1_block,
}
BlockName = Literal["basic", "option_a", "plain", "bottleneck", "bottleneck_v1"]
POOL = partial(nn.MaxPool2d, 3, 2, padding=1)
BASIC = (64, 128, 256, 512)
BOTTLENECK = (256, 512, 1024, 2048)


def resnet(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    depths: tuple[int, ...] = (3, 4, 6, 3),
    widths: tuple[int, ...] = BOTTLENECK,
    block: BlockName = "bottleneck",
    groups: int = 1,
    group_width: int = 64,
    fan: Literal["fan_in", "fan_out"] = "fan_out",
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds the network of the paper's table 1: (N, in_channels, H, W) -> (N, num_classes), for 224 pixels.

    Each stage has `depths` blocks of `widths` output channels; each stage but the first halves height and width. In a
    bottleneck of 256 outputs the 3x3 has `groups` groups of `group_width` channels; the width of a group grows in
    proportion to the outputs. Initialisation: Kaiming normal by fan-in, equation 10 of the paper that section 3.4 cites
    (https://arxiv.org/abs/1502.01852), or by fan-out, like the published weights. The linear layer keeps PyTorch's
    default. Raises `UsageError` for an unknown block or activation, for depths and widths that do not match, and for
    groups that the block does not have or the widths do not fill.
    """
    check_block(block, depths=depths, widths=widths, groups=groups, group_width=group_width)
    act = activation_layer(activation)
    chosen = _block(block, act=act, groups=groups, group_width=group_width)
    stages = residual_stages(64, depths=depths, widths=widths, block=chosen)
    network = sequential(stem=imagenet_stem(in_channels, act=act), **stages, head=classifier(widths[-1], num_classes))
    initialize_kaiming(network, activation=activation, fan=fan)
    return network


def resnet_cifar_stem(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    depths: tuple[int, ...] = (3, 4, 6, 3),
    widths: tuple[int, ...] = BOTTLENECK,
    block: BlockName = "bottleneck",
    groups: int = 1,
    group_width: int = 64,
    stem_channels: int = 64,
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds the stages of `resnet` after a 3x3 convolution of stride 1: (N, in_channels, H, W) -> (N, num_classes).

    Initialisation: Kaiming normal by fan-out. Raises `UsageError` as `resnet` does.
    """
    check_block(block, depths=depths, widths=widths, groups=groups, group_width=group_width)
    check_counts(stem_channels=stem_channels)
    act = activation_layer(activation)
    stem = ConvNormAct(in_channels, stem_channels, 3, act=act)
    chosen = _block(block, act=act, groups=groups, group_width=group_width)
    stages = residual_stages(stem_channels, depths=depths, widths=widths, block=chosen)
    network = sequential(stem=stem, **stages, head=classifier(widths[-1], num_classes))
    initialize_kaiming(network, activation=activation, fan="fan_out")
    return network


def imagenet_stem(in_channels: int, *, act: Layer, pool: Layer = POOL) -> nn.Sequential:
    """Builds a 7x7 convolution and max pooling, each of stride 2: (N, in_channels, H, W) -> (N, 64, H / 4, W / 4)."""
    return sequential(conv=ConvNormAct(in_channels, 64, 7, stride=2, act=act), pool=pool())


def _block(name: str, *, act: Layer, groups: int, group_width: int) -> Block:
    if name == "bottleneck":
        return partial(bottleneck_block, act=act, groups=groups, group_width=group_width)
    return partial(BLOCKS[name], act=act)


def check_block(
    block: str, *, depths: tuple[int, ...], widths: tuple[int, ...], groups: int = 1, group_width: int = 64
) -> None:
    """Raises `UsageError` for an unknown block, and for stages and groups that the block cannot make."""
    if block not in BLOCKS:
        raise unknown("block", block, BLOCKS)
    check_stages(depths=depths, widths=widths)
    check_counts(groups=groups, group_width=group_width)
    if block != "bottleneck" and (groups, group_width) != (1, 64):
        raise UsageError(f"groups={groups} and group_width={group_width} are for block='bottleneck', not {block!r}")
    multiple = 256 // math.gcd(256, group_width)  # with these widths each group has whole channels
    if block.startswith("bottleneck") and any(width % multiple for width in widths):
        inside = "" if group_width == 64 else f" with group_width={group_width}"
        raise UsageError(f"widths={widths} of bottlenecks{inside} must be multiples of {multiple}")


PAPER = Paper(
    "Deep Residual Learning for Image Recognition",
    "He, Zhang, Ren, Sun",
    2015,
    "https://arxiv.org/abs/1512.03385",
)

# Table 1. layers: blocks in each stage.
TABLE_1 = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
# layers: parameters, MACs, torchvision's first and second file of weights, each with the accuracy that it states.
TORCHVISION = {
    18: (11_689_512, 1_814_073_344, ("resnet18-f37072fd.pth", 0.69758), None),
    34: (21_797_672, 3_663_761_408, ("resnet34-b627a593.pth", 0.73314), None),
    50: (25_557_032, 4_089_184_256, ("resnet50-0676ba61.pth", 0.76130), ("resnet50-11ad3fa6.pth", 0.80858)),
    101: (44_549_160, 7_801_405_440, ("resnet101-63fe2227.pth", 0.77374), ("resnet101-cd907fc2.pth", 0.81886)),
    152: (60_192_808, 11_513_626_624, ("resnet152-394f9c45.pth", 0.78312), ("resnet152-f82ba261.pth", 0.82284)),
}
# The paper's own form. layers: parameters, MACs, single-crop accuracy.
V1 = {
    50: (25_557_032, 3_857_973_248, 0.753),
    101: (44_549_160, 7_570_194_432, 0.764),
    152: (60_192_808, 11_282_415_616, 0.770),
}
# The networks with zero channels, and the plain networks, with the same counts. layers: parameters, MACs.
OPTION_A = {18: (11_515_688, 1_794_805_760), 34: (21_623_848, 3_644_493_824)}
# The networks with a 3x3 stem. layers: parameters, MACs, the accuracy that kuangliu's README states.
CIFAR_STEM = {
    18: (11_173_962, 555_422_720, 0.9302),
    34: (21_282_122, 1_159_402_496, None),
    50: (23_520_842, 1_297_829_888, 0.9362),
    101: (42_512_970, 2_509_983_744, 0.9375),
    152: (58_156_618, 3_722_137_600, None),
}

imagenet_row = partial(Architecture, dataset="imagenet", image_size=224, num_classes=1000)
_row = partial(imagenet_row, paper=PAPER)


def torchvision_results(
    first: tuple[str, float], second: tuple[str, float] | None
) -> tuple[tuple[Published, ...], tuple[Weights, ...]]:
    """Returns the accuracies and files that torchvision published for a network, of the first and the second recipe."""
    published = [torchvision_published(first[1])]
    weights = [torchvision_weights(first[0], keys=TORCHVISION_KEYS)]
    if second is not None:
        published.append(torchvision_published(second[1], version="IMAGENET1K_V2"))
        weights.append(torchvision_weights(second[0], keys=TORCHVISION_KEYS, name="torchvision_v2", shorter_side=232))
    return tuple(published), tuple(weights)


def _published_row(layers: int) -> Architecture:
    params, macs, first, second = TORCHVISION[layers]
    published, weights = torchvision_results(first, second)
    basic = partial(resnet, block="basic", widths=BASIC)
    return _row(
        f"resnet{layers}",
        builder=partial(basic if layers < 50 else resnet, depths=TABLE_1[layers]),
        params=params,
        macs=macs,
        published=published,
        weights=weights,
        note="projections, where the paper's table 2 has zero channels"
        if layers < 50
        else "v1.5: the stride on the 3x3 convolution; the paper's is v1",
    )


def _v1_row(layers: int) -> Architecture:
    params, macs, top1 = V1[layers]
    return _row(
        f"resnet{layers}_v1",
        builder=partial(resnet, depths=TABLE_1[layers], block="bottleneck_v1", fan="fan_in"),
        params=params,
        macs=macs,
        published=(
            Published(
                top1, "validation", "imagenet", "KaimingHe/deep-residual-networks, one crop of 224, rounded to 0.1 %"
            ),
        ),
        note="the paper's network: the stride on the first 1x1 convolution",
    )


def _basic_row(layers: int, *, block: BlockName) -> Architecture:
    name, note = {
        "option_a": (f"resnet{layers}_a", "the paper's of its table 2: zero channels where the size changes"),
        "plain": (f"plain{layers}", "no shortcuts"),
    }[block]
    params, macs = OPTION_A[layers]
    builder = partial(resnet, depths=TABLE_1[layers], widths=BASIC, block=block, fan="fan_in")
    return _row(name, builder=builder, params=params, macs=macs, note=note)


def _cifar_stem_row(layers: int) -> Architecture:
    params, macs, top1 = CIFAR_STEM[layers]
    readme = "kuangliu/pytorch-cifar's README, best epoch by the test set"
    basic = partial(resnet_cifar_stem, block="basic", widths=BASIC)
    return Architecture(
        f"resnet{layers}_cifar_stem",
        builder=partial(basic if layers < 50 else resnet_cifar_stem, depths=TABLE_1[layers]),
        paper=PAPER,
        dataset="cifar10",
        params=params,
        macs=macs,
        published=() if top1 is None else (Published(top1, "test", "cifar10", readme),),
        layouts={"kuangliu": AKAMASTER_OPTION_B_KEYS},
        note="not the paper's: the ImageNet network with a 3x3 stem, for images of 32 pixels",
    )


ROWS = (
    *(_published_row(layers) for layers in TORCHVISION),
    *(_v1_row(layers) for layers in V1),
    *(_basic_row(layers, block="option_a") for layers in OPTION_A),
    *(_basic_row(layers, block="plain") for layers in OPTION_A),
    *(_cifar_stem_row(layers) for layers in CIFAR_STEM),
)
