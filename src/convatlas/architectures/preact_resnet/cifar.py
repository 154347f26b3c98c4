"""Pre-activation ResNet at CIFAR size: norm and activation move into the branch, and the shortcut is a plain identity.

He, Zhang, Ren, Sun. Identity Mappings in Deep Residual Networks. ECCV 2016. https://arxiv.org/abs/1603.05027
The bottleneck networks are those of the authors' code, https://github.com/KaimingHe/resnet-1k-layers.

>>> from convatlas.complexity import outline
>>> print(outline("preact_resnet164"))
stem     16 x 32 x 32         432
stage1   64 x 32 x 32      81,952
stage2  128 x 16 x 16     326,272
stage3    256 x 8 x 8   1,291,520
norm      256 x 8 x 8         512
act       256 x 8 x 8           0
head               10       2,570

Departs from the paper: nothing in the bottleneck networks. For ResNet-110 the paper says only that the first unit's
activation comes before the two paths part; it does not describe the shortcuts that change the size. `preact_resnet110`
takes the shortcuts of the post-activation ResNet-110: zero channels of the raw input. `preact_resnet110_b` takes those
of the paper's bottleneck networks: 1x1 convolutions of the activated input.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import nn

from convatlas.architecture import Architecture, Paper, Published
from convatlas.errors import UsageError, unknown
from convatlas.layers import (
    Activation,
    Layer,
    NormActConv,
    Residual,
    ZeroPadShortcut,
    activation_layer,
    check_counts,
    check_stages,
    classifier,
    initialize_kaiming,
    preactivation_bottleneck,
    preactivation_stages,
    sequential,
    shared_preactivation,
)

_shared = partial(shared_preactivation, norm=nn.BatchNorm2d)


def _conv(in_channels: int, out_channels: int, kernel: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)


def _second_conv(channels: int, *, act: Layer, dropout: float) -> nn.Sequential:
    """Builds norm, activation, an optional dropout and the second 3x3 convolution of a basic unit."""
    drop = {"dropout": nn.Dropout(dropout)} if dropout else {}
    return sequential(norm=nn.BatchNorm2d(channels), act=act(), **drop, conv=_conv(channels, channels, 3))


def basic_unit(channels: int, *, act: Layer, dropout: float = 0.0) -> Residual:
    """Builds figure 4 (e), x + branch(x) with two 3x3 convolutions: (N, channels, H, W) -> (N, channels, H, W)."""
    conv1 = NormActConv(channels, channels, 3, act=act)
    return Residual(sequential(conv1=conv1, conv2=_second_conv(channels, act=act, dropout=dropout)))


def basic_first_unit(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> nn.Module:
    """Builds the first unit of a stage with option A: (N, in, H, W) -> (N, out, H / stride, W / stride).

    The unit after the stem shares its activation between branch and shortcut. The other units pass on the raw input, as
    equation 9 does.
    """
    if stride == 1:
        branch = sequential(
            conv1=_conv(in_channels, out_channels, 3), conv2=NormActConv(out_channels, out_channels, 3, act=act)
        )
        shortcut = None if in_channels == out_channels else ZeroPadShortcut(in_channels, out_channels, stride=1)
        return _shared(in_channels, branch, shortcut=shortcut, act=act)
    branch = sequential(
        conv1=NormActConv(in_channels, out_channels, 3, stride=stride, act=act),
        conv2=NormActConv(out_channels, out_channels, 3, act=act),
    )
    return Residual(branch, shortcut=ZeroPadShortcut(in_channels, out_channels, stride=stride))


def projection_first_unit(
    in_channels: int, out_channels: int, *, stride: int, act: Layer, dropout: float = 0.0
) -> nn.Sequential:
    """Builds the first unit of a stage with option B, whose 1x1 shortcut takes the activated input and has no norm.

    (N, in, H, W) -> (N, out, H / stride, W / stride).
    """
    branch = sequential(
        conv1=_conv(in_channels, out_channels, 3, stride=stride),
        conv2=_second_conv(out_channels, act=act, dropout=dropout),
    )
    same = stride == 1 and in_channels == out_channels
    shortcut = None if same else _conv(in_channels, out_channels, 1, stride=stride)
    return _shared(in_channels, branch, shortcut=shortcut, act=act)


def bottleneck_first_unit(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> nn.Sequential:
    """Builds the first unit of a stage of bottlenecks: (N, in, H, W) -> (N, out, H / stride, W / stride).

    The stride is on the first 1x1 convolution, as in the authors' code.
    """
    width = out_channels // 4
    branch = sequential(
        conv1=_conv(in_channels, width, 1, stride=stride),
        conv2=NormActConv(width, width, 3, act=act),
        conv3=NormActConv(width, out_channels, 1, act=act),
    )
    same = stride == 1 and in_channels == out_channels
    shortcut = None if same else _conv(in_channels, out_channels, 1, stride=stride)
    return _shared(in_channels, branch, shortcut=shortcut, act=act)


UNITS: dict[str, tuple[Layer, Layer]] = {
    "option_a": (basic_first_unit, basic_unit),
    "option_b": (projection_first_unit, basic_unit),
    "bottleneck": (bottleneck_first_unit, preactivation_bottleneck),
}


def preact_resnet(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    stem_channels: int = 16,
    depths: tuple[int, ...] = (18, 18, 18),
    widths: tuple[int, ...] = (16, 32, 64),
    unit: Literal["option_a", "option_b", "bottleneck"] = "option_a",
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds stem, stages of pre-activation units, norm and activation: (N, in_channels, H, W) -> (N, num_classes).

    Each stage has `depths` units of `widths` output channels; each stage but the first halves height and width.
    Initialisation as in the authors' code: Kaiming normal by fan-out; the linear layer uniform within 1 / sqrt(fan-in),
    which is also PyTorch's default, with bias 0. Raises `UsageError` for an unknown unit or activation, for depths and
    widths that do not match, and for bottlenecks whose widths are not multiples of 4.
    """
    if unit not in UNITS:
        raise unknown("unit", unit, UNITS)
    check_counts(stem_channels=stem_channels)
    check_stages(depths=depths, widths=widths)
    if unit == "bottleneck" and any(width % 4 for width in widths):
        raise UsageError(f"widths={widths} of bottlenecks must be multiples of 4")
    act = activation_layer(activation)
    first_unit, next_unit = (partial(each, act=act) for each in UNITS[unit])
    stem = sequential(conv=_conv(in_channels, stem_channels, 3))
    stages = preactivation_stages(
        stem_channels, depths=depths, widths=widths, first_unit=first_unit, next_unit=next_unit
    )
    head = classifier(widths[-1], num_classes)
    network = sequential(stem=stem, **stages, norm=nn.BatchNorm2d(widths[-1]), act=act(), head=head)
    initialize_kaiming(network, activation=activation, fan="fan_out")
    nn.init.zeros_(head.get_parameter("fc.bias"))
    return network


PAPER = Paper(
    "Identity Mappings in Deep Residual Networks", "He, Zhang, Ren, Sun", 2016, "https://arxiv.org/abs/1603.05027"
)
_bottlenecks = partial(preact_resnet, unit="bottleneck", widths=(64, 128, 256))
_architecture = partial(Architecture, paper=PAPER, dataset="cifar10", recipe="preact_cifar")

ROWS = (
    _architecture(
        "preact_resnet110",
        builder=preact_resnet,
        params=1_727_962,
        macs=252_887_680,
        note="where the size changes, the shortcut adds zero channels to the raw input; the paper does not say how",
    ),
    _architecture(
        "preact_resnet110_b",
        builder=partial(preact_resnet, unit="option_b"),
        params=1_730_522,
        macs=253_149_824,
        note="where the size changes, the shortcut is a 1x1 convolution; the paper does not say how",
    ),
    _architecture(
        "preact_resnet164",
        builder=partial(_bottlenecks, depths=(18, 18, 18)),
        params=1_703_258,
        macs=244_500_992,
        published=(
            Published(0.9454, "test", "cifar10", "the paper's table 4, median of 5 runs"),
            Published(0.7567, "test", "cifar100", "the paper's table 4, median of 5 runs"),
        ),
    ),
    _architecture(
        "preact_resnet1001",
        builder=partial(_bottlenecks, depths=(111, 111, 111)),
        params=10_327_706,
        macs=1_487_849_984,
        published=(
            Published(0.9508, "test", "cifar10", "the paper's table 4, median of 5 runs"),
            Published(0.9538, "test", "cifar10", "the paper's table 4, batches of 64, median of 5 runs"),
            Published(0.7729, "test", "cifar100", "the paper's table 4, median of 5 runs"),
        ),
        note="the paper says 10.2M parameters; the authors' code has 10.3M",
    ),
)
