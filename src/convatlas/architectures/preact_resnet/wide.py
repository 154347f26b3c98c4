"""Wide ResNet at CIFAR size: few pre-activation units of many channels learn as well as many thin ones, and faster.

Zagoruyko, Komodakis. Wide Residual Networks. BMVC 2016. https://arxiv.org/abs/1605.07146, table 1: 6n + 4 layers, n
units in each stage, k times the channels of a ResNet. Details are from the authors' code,
https://github.com/szagoruyko/wide-residual-networks.

>>> from convatlas.complexity import outline
>>> print(outline("wide_resnet28_10"))
stem     16 x 32 x 32         432
stage1  160 x 32 x 32   1,640,672
stage2  320 x 16 x 16   6,968,000
stage3    640 x 8 x 8  27,862,400
norm      640 x 8 x 8       1,280
act       640 x 8 x 8           0
head               10       6,410

Departs from the paper: nothing. There is no dropout, as in the paper's tables 4 and 5; `dropout=0.3` gives the form of
table 6.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Paper, Published
from convatlas.architectures.preact_resnet.cifar import basic_unit, projection_first_unit
from convatlas.layers import (
    Activation,
    Layer,
    activation_layer,
    check_counts,
    check_dropout,
    check_stages,
    classifier,
    initialize_kaiming,
    preactivation_stages,
    sequential,
)


def wide_first_unit(in_channels: int, out_channels: int, *, stride: int, act: Layer, dropout: float) -> nn.Module:
    """Builds the first unit of a stage: (N, in, H, W) -> (N, out, H / stride, W / stride).

    Where the shape stays, in the first stage at k = 1, it is an ordinary unit.
    """
    if stride == 1 and in_channels == out_channels:
        return basic_unit(out_channels, act=act, dropout=dropout)
    return projection_first_unit(in_channels, out_channels, stride=stride, act=act, dropout=dropout)


def wide_resnet(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    stem_channels: int = 16,
    depths: tuple[int, ...] = (4, 4, 4),
    widths: tuple[int, ...] = (160, 320, 640),
    dropout: float = 0.0,
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds the network of the paper's table 1: (N, in_channels, H, W) -> (N, num_classes).

    Each stage has `depths` units of `widths` channels; each stage but the first halves height and width. `dropout`
    stands before the second convolution of each unit, after norm and activation. Initialisation as in the authors'
    code: Kaiming normal by fan-out; the linear layer at PyTorch's default, its bias 0. Raises `UsageError` for an
    unknown activation, for depths and widths that do not match, and unless 0 <= dropout < 1.
    """
    check_counts(stem_channels=stem_channels)
    check_stages(depths=depths, widths=widths)
    check_dropout(dropout)
    act = activation_layer(activation)
    stages = preactivation_stages(
        stem_channels,
        depths=depths,
        widths=widths,
        first_unit=partial(wide_first_unit, act=act, dropout=dropout),
        next_unit=partial(basic_unit, act=act, dropout=dropout),
    )
    stem = sequential(conv=nn.Conv2d(in_channels, stem_channels, 3, padding=1, bias=False))
    head = classifier(widths[-1], num_classes)
    network = sequential(stem=stem, **stages, norm=nn.BatchNorm2d(widths[-1]), act=act(), head=head)
    initialize_kaiming(network, activation=activation, fan="fan_out")
    nn.init.zeros_(head.get_parameter("fc.bias"))
    return network


PAPER = Paper("Wide Residual Networks", "Zagoruyko, Komodakis", 2016, "https://arxiv.org/abs/1605.07146")

# Depth and widening factor: parameters, MACs, and the accuracies that the authors' README states.
_MEDIAN, _SINGLE = "the authors' README, median of 5 runs", "the authors' README, with dropout, one run"
TABLE_1: dict[tuple[int, int], tuple[int, int, tuple[Published, ...]]] = {
    (28, 10): (
        36_479_194,
        5_243_328_768,
        (
            Published(0.96, "test", "cifar10", _MEDIAN),
            Published(0.9611, "test", "cifar10", f"{_MEDIAN}, dropout 0.3"),
            Published(0.8075, "test", "cifar100", _MEDIAN),
            Published(0.8115, "test", "cifar100", f"{_MEDIAN}, dropout 0.3"),
        ),
    ),
    (16, 8): (10_961_370, 1_548_145_664, ()),
    (40, 4): (8_949_210, 1_298_582_016, ()),
    (28, 2): (1_467_610, 214_353_152, ()),
    (40, 10): (
        55_841_754,
        8_074_483_968,
        (Published(0.962, "test", "cifar10", _SINGLE), Published(0.817, "test", "cifar100", _SINGLE)),
    ),
}

# The names in https://github.com/xternalz/WideResNet-pytorch and in projects that follow it. The first unit of a stage
# has its norm before the paths part. These rows do not fit k = 1, where the first unit of the first stage does not.
XTERNALZ_KEYS: dict[str, str | None] = {
    "conv1": "stem.conv",
    "block{}.layer.0.bn1": "stage{}.0.norm",
    "block{}.layer.0.conv1": "stage{}.0.paths.branch.conv1",
    "block{}.layer.0.bn2": "stage{}.0.paths.branch.conv2.norm",
    "block{}.layer.0.conv2": "stage{}.0.paths.branch.conv2.conv",
    "block{}.layer.0.convShortcut": "stage{}.0.paths.shortcut",
    "block{}.layer.{}.bn{}": "stage{}.{}.branch.conv{}.norm",
    "block{}.layer.{}.conv{}": "stage{}.{}.branch.conv{}.conv",
    "bn1": "norm",
    "fc": "head.fc",
}


def _row(depth: int, factor: int) -> Architecture:
    params, macs, published = TABLE_1[depth, factor]
    units = (depth - 4) // 6
    return Architecture(
        f"wide_resnet{depth}_{factor}",
        builder=partial(wide_resnet, depths=(units,) * 3, widths=(16 * factor, 32 * factor, 64 * factor)),
        paper=PAPER,
        dataset="cifar10",
        params=params,
        macs=macs,
        published=published,
        layouts={"xternalz": XTERNALZ_KEYS},
        recipe="wide_cifar",
    )


ROWS = tuple(_row(depth, factor) for depth, factor in TABLE_1)
