"""ResNets for teaching: the textbook's ResNet-18, and a small ResNet of lecture slides.

`resnet18_textbook` is the network of Dive into Deep Learning (Zhang, Lipton, Li, Smola 2021). `resnet14_slides` is from
https://github.com/yunjey/pytorch-tutorial; lecture slides use it with stages of 2, 2 and 2 blocks.

>>> from convatlas.complexity import outline
>>> print(outline("resnet14_slides"))
stem    16 x 32 x 32         464
stage1  16 x 32 x 32       9,344
stage2  32 x 16 x 16      37,184
stage3    64 x 8 x 8     148,096
head              10         650

Departs from the paper: the textbook's convolutions keep their biases and its projections have no norm. The slides'
shortcuts are 3x3 convolutions with a norm.
"""

from __future__ import annotations

from torch import nn

from convatlas.architecture import Architecture, Paper
from convatlas.architectures.resnet.blocks import (
    basic_branch,
    residual_stages,
)
from convatlas.architectures.sources import TEXTBOOK, textbook_published
from convatlas.layers import (
    ConvNormAct,
    Layer,
    Residual,
    activation_layer,
    check_stages,
    classifier,
    initialize_xavier,
    sequential,
)

RELU = activation_layer("relu")


def textbook_block(in_channels: int, out_channels: int, *, stride: int) -> Residual:
    """Builds two 3x3 convolutions with bias, and a 1x1 shortcut without a norm where the size changes.

    (N, in, H, W) -> (N, out, H / stride, W / stride).
    """
    branch = sequential(
        conv1=ConvNormAct(in_channels, out_channels, 3, stride=stride, bias=True, act=RELU),
        conv2=ConvNormAct(out_channels, out_channels, 3, bias=True, act=None),
    )
    same = stride == 1 and in_channels == out_channels
    shortcut = None if same else nn.Conv2d(in_channels, out_channels, 1, stride=stride)
    return Residual(branch, shortcut=shortcut, act=RELU())


def slides_block(in_channels: int, out_channels: int, *, stride: int, act: Layer = RELU) -> Residual:
    """Builds a basic block whose shortcut is a 3x3 convolution and norm where the size changes.

    (N, in, H, W) -> (N, out, H / stride, W / stride).
    """
    same = stride == 1 and in_channels == out_channels
    shortcut = None if same else ConvNormAct(in_channels, out_channels, 3, stride=stride, act=None)
    return Residual(basic_branch(in_channels, out_channels, stride=stride, act=act), shortcut=shortcut, act=act())


def resnet_textbook(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    depths: tuple[int, ...] = (2, 2, 2, 2),
    widths: tuple[int, ...] = (64, 128, 256, 512),
) -> nn.Sequential:
    """Builds the textbook's ResNet: (N, in_channels, H, W) -> (N, num_classes), for 224 pixels.

    Initialisation: Xavier uniform, biases at PyTorch's default. Raises `UsageError` for depths and widths that do not
    match.
    """
    check_stages(depths=depths, widths=widths)
    stem = sequential(
        conv=ConvNormAct(in_channels, widths[0], 7, stride=2, bias=True, act=RELU),
        pool=nn.MaxPool2d(3, 2, padding=1),
    )
    stages = residual_stages(widths[0], depths=depths, widths=widths, block=textbook_block)
    network = sequential(stem=stem, **stages, head=classifier(widths[-1], num_classes))
    initialize_xavier(network)
    return network


def resnet_slides(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    depths: tuple[int, ...] = (2, 2, 2),
    widths: tuple[int, ...] = (16, 32, 64),
) -> nn.Sequential:
    """Builds the slides' ResNet: (N, in_channels, H, W) -> (N, num_classes).

    Initialisation: PyTorch's default, because the slides' code sets none. Raises `UsageError` for depths and widths
    that do not match.
    """
    check_stages(depths=depths, widths=widths)
    stem = ConvNormAct(in_channels, widths[0], 3, act=RELU)
    stages = residual_stages(widths[0], depths=depths, widths=widths, block=slides_block)
    return sequential(stem=stem, **stages, head=classifier(widths[-1], num_classes))


TUTORIAL = Paper("PyTorch tutorial: deep residual network", "Choi", 2017, "https://github.com/yunjey/pytorch-tutorial")

ROWS = (
    Architecture(
        "resnet18_textbook",
        builder=resnet_textbook,
        paper=TEXTBOOK,
        dataset="cifar10",
        image_size=224,
        params=11_184_650,
        macs=1_813_566_464,
        published=textbook_published(0.8163, "cifar10", pixels=224),
        recipe="textbook_resnet",
        note="the textbook's network: biases before the norms, projections without a norm",
    ),
    Architecture(
        "resnet14_slides",
        builder=resnet_slides,
        paper=TUTORIAL,
        dataset="cifar10",
        params=195_738,
        macs=28_754_560,
        recipe="tutorial_adam",
        note="the slides' network with stages of 2, 2, 2 blocks: 3x3 convolutions as shortcuts",
    ),
)
