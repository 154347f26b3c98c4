"""Pre-activation ResNet at ImageNet size: 50, 101 and 152 layers, in the form that has published weights.

He, Zhang, Ren, Sun. Identity Mappings in Deep Residual Networks. ECCV 2016. https://arxiv.org/abs/1603.05027. The form
is that of timm's `resnetv2_50`, `resnetv2_101` and `resnetv2_152`. Their units are BiT's, but with batch norm and plain
convolutions: https://github.com/huggingface/pytorch-image-models.

>>> from convatlas.complexity import outline
>>> print(outline("preact_resnet50"))
stem      64 x 56 x 56       9,408
stage1   256 x 56 x 56     214,912
stage2   512 x 28 x 28   1,218,048
stage3  1024 x 14 x 14   7,095,296
stage4    2048 x 7 x 7  14,958,592
norm      2048 x 7 x 7       4,096
act       2048 x 7 x 7           0
head              1000   2,049,000

Departs from the paper: the stride is on the 3x3 convolution. In the authors' released code, which has the CIFAR
networks only (`resnet-pre-act.lua`), it is on the first 1x1. In the paper the first activation follows the first
convolution directly; here the pooling stands between them. The authors' code for ImageNet is not known here, so other
differences are possible. Initial weights are as in their CIFAR code: Kaiming normal by fan-out.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture
from convatlas.architectures.preact_resnet.cifar import PAPER
from convatlas.architectures.sources import TIMM_RESNETV2_KEYS
from convatlas.errors import UsageError
from convatlas.layers import (
    Activation,
    activation_layer,
    check_counts,
    check_stages,
    classifier,
    initialize_kaiming,
    preactivation_bottleneck,
    preactivation_first_bottleneck,
    preactivation_stages,
    sequential,
)


def preact_resnet_imagenet(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    stem_channels: int = 64,
    depths: tuple[int, ...] = (3, 4, 6, 3),
    widths: tuple[int, ...] = (256, 512, 1024, 2048),
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds stem, stages of bottlenecks, norm and activation: (N, in_channels, H, W) -> (N, num_classes).

    Each stage has `depths` bottlenecks of `widths` output channels. The stem halves height and width twice, and each
    stage but the first halves them once more. Initialisation: Kaiming normal by fan-out; the linear layer at PyTorch's
    default, its bias 0. Raises `UsageError` for an unknown activation, for depths and widths that do not match, and for
    widths that are not multiples of 4.
    """
    check_counts(stem_channels=stem_channels)
    check_stages(depths=depths, widths=widths)
    if any(width % 4 for width in widths):
        raise UsageError(f"widths={widths} of bottlenecks must be multiples of 4")
    act = activation_layer(activation)
    stem = sequential(
        conv=nn.Conv2d(in_channels, stem_channels, 7, 2, padding=3, bias=False), pool=nn.MaxPool2d(3, 2, padding=1)
    )
    stages = preactivation_stages(
        stem_channels,
        depths=depths,
        widths=widths,
        first_unit=partial(preactivation_first_bottleneck, act=act, norm=nn.BatchNorm2d, conv=nn.Conv2d),
        next_unit=partial(preactivation_bottleneck, act=act),
    )
    head = classifier(widths[-1], num_classes)
    network = sequential(stem=stem, **stages, norm=nn.BatchNorm2d(widths[-1]), act=act(), head=head)
    initialize_kaiming(network, activation=activation, fan="fan_out")
    nn.init.zeros_(head.get_parameter("fc.bias"))
    return network


# layers: units in each stage, parameters, MACs.
TABLE: dict[int, tuple[tuple[int, ...], int, int]] = {
    50: ((3, 4, 6, 3), 25_549_352, 4_089_184_256),
    101: ((3, 4, 23, 3), 44_541_480, 7_801_405_440),
    152: ((3, 8, 36, 3), 60_185_128, 11_513_626_624),
}

ROWS = tuple(
    Architecture(
        f"preact_resnet{layers}",
        builder=partial(preact_resnet_imagenet, depths=depths),
        paper=PAPER,
        dataset="imagenet",
        image_size=224,
        num_classes=1000,
        params=params,
        macs=macs,
        layouts={"timm": TIMM_RESNETV2_KEYS},
        note="timm's form: the stride on the 3x3 convolution, where the authors' CIFAR code has it on the first 1x1",
    )
    for layers, (depths, params, macs) in TABLE.items()
)
