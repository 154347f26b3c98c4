"""ResNet at CIFAR size, and the plain networks beside it: without shortcuts depth hurts, with shortcuts it helps.

He, Zhang, Ren, Sun. Deep Residual Learning for Image Recognition. CVPR 2016. https://arxiv.org/abs/1512.03385,
section 4.2: 6n + 2 layers, in three stages of 16, 32 and 64 channels.

>>> from convatlas.complexity import outline
>>> print(outline("resnet20"))
stem    16 x 32 x 32         464
stage1  16 x 32 x 32      14,016
stage2  32 x 16 x 16      51,072
stage3    64 x 8 x 8     203,520
head              10         650

Departs from the paper: nothing in `resnet*` and `plain*`. The `_b` forms are ours. They use the paper's option B of
section 3.3, a 1x1 convolution and norm where the size changes; at CIFAR size the paper has option A only.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import nn

from convatlas.architecture import Architecture, Published, Weights
from convatlas.architectures.resnet.blocks import (
    option_a_block,
    option_b_block,
    plain_block,
    residual_stages,
)
from convatlas.architectures.resnet.imagenet import PAPER
from convatlas.architectures.resnet.keys import AKAMASTER_KEYS, AKAMASTER_OPTION_B_KEYS
from convatlas.data_names import CIFAR10_CLASSES
from convatlas.errors import unknown
from convatlas.layers import (
    Activation,
    ConvNormAct,
    activation_layer,
    check_stages,
    classifier,
    initialize_kaiming,
    sequential,
)

BLOCKS = {"option_a": option_a_block, "option_b": option_b_block, "plain": plain_block}


def resnet_cifar(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    depths: tuple[int, ...] = (3, 3, 3),
    widths: tuple[int, ...] = (16, 32, 64),
    block: Literal["option_a", "option_b", "plain"] = "option_a",
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds the 6n + 2 layers of section 4.2: (N, in_channels, H, W) -> (N, num_classes).

    Each stage has `depths` blocks of `widths` channels; each stage but the first halves height and width.
    Initialisation: Kaiming normal by fan-in for every convolution, equation 10 of the paper that section 4.2 cites
    (https://arxiv.org/abs/1502.01852). The linear layer keeps PyTorch's default, because the paper does not name
    another. Raises `UsageError` for an unknown block or activation and for depths and widths that do not match.
    """
    if block not in BLOCKS:
        raise unknown("block", block, BLOCKS)
    check_stages(depths=depths, widths=widths)
    act = activation_layer(activation)
    stem = ConvNormAct(in_channels, widths[0], 3, act=act)
    stages = residual_stages(widths[0], depths=depths, widths=widths, block=partial(BLOCKS[block], act=act))
    network = sequential(stem=stem, **stages, head=classifier(widths[-1], num_classes))
    initialize_kaiming(network, activation=activation, fan="fan_in")
    return network


# Table 6. layers: parameters, MACs, test accuracy in the table and of akamaster's checkpoint, the hash of its file.
TABLE_6 = {
    20: (269_722, 40_551_040, 0.9125, 0.9173, "12fca82f"),
    32: (464_154, 68_862_592, 0.9249, 0.9263, "d509ac18"),
    44: (658_586, 97_174_144, 0.9283, 0.9310, "014dd654"),
    56: (853_018, 125_485_696, 0.9303, 0.9339, "4bfd9763"),
    110: (1_727_962, 252_887_680, 0.9357, 0.9368, "1d1ed7c2"),
    1202: (19_421_274, 2_829_238_912, 0.9207, 0.9382, "f3b1deed"),
}
# The networks with projections. layers: parameters, MACs.
OPTION_B = {
    20: (272_474, 40_813_184),
    32: (466_906, 69_124_736),
    44: (661_338, 97_436_288),
    56: (855_770, 125_747_840),
    110: (1_730_714, 253_149_824),
    1202: (19_424_026, 2_829_501_056),
}
# The networks without shortcuts. The paper prints no accuracies of them but draws their error in figure 6.
PLAIN = (20, 32, 44, 56, 110)


def _row(name: str, layers: int, *, block: Literal["option_a", "option_b", "plain"], note: str = "") -> Architecture:
    params, macs = OPTION_B[layers] if block == "option_b" else TABLE_6[layers][:2]
    depth = (layers - 2) // 6
    return Architecture(
        name,
        builder=partial(resnet_cifar, depths=(depth, depth, depth), block=block),
        paper=PAPER,
        dataset="cifar10",
        params=params,
        macs=macs,
        published=_published(layers) if block == "option_a" else (),
        weights=(_weights(layers),) if block == "option_a" else (),
        layouts={"akamaster": AKAMASTER_OPTION_B_KEYS} if block == "option_b" else {},
        recipe="he_cifar",
        note=note,
    )


def _published(layers: int) -> tuple[Published, Published]:
    table = "the paper's table 6" + (", best of 5 runs; their mean is 93.39 %" if layers == 110 else "")
    readme = "akamaster/pytorch_resnet_cifar10, best epoch by the test set"
    return (
        Published(TABLE_6[layers][2], "test", "cifar10", table),
        Published(TABLE_6[layers][3], "test", "cifar10", readme),
    )


def _weights(layers: int) -> Weights:
    digest = TABLE_6[layers][4]
    folder = "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models"
    return Weights(
        "akamaster",
        url=f"{folder}/resnet{layers}-{digest}.th",
        sha256=digest,
        keys=AKAMASTER_KEYS,
        mean=(0.485, 0.456, 0.406),  # ImageNet's values: akamaster trained with them on CIFAR-10
        std=(0.229, 0.224, 0.225),
        image_size=32,
        dataset="cifar10",
        class_names=CIFAR10_CLASSES,
    )


ROWS = (
    *(_row(f"resnet{layers}", layers, block="option_a") for layers in TABLE_6),
    *(
        _row(f"resnet{layers}_b", layers, block="option_b", note="projections, where the paper has zero channels")
        for layers in OPTION_B
    ),
    *(
        _row(f"plain{layers}", layers, block="plain", note="no shortcuts; the paper draws its error in figure 6")
        for layers in PLAIN
    ),
)
