"""SENet: each block weighs its channels by their means over the whole image, before it adds them to its input.

Hu, Shen, Sun. Squeeze-and-Excitation Networks. CVPR 2018. https://arxiv.org/abs/1709.01507, figure 3; reduction 16.

>>> from convatlas.complexity import outline
>>> print(outline("seresnet50"))
stem      64 x 56 x 56       9,536
stage1   256 x 56 x 56     241,200
stage2   512 x 28 x 28   1,352,832
stage3  1024 x 14 x 14   7,891,328
stage4    2048 x 7 x 7  16,544,128
head              1000   2,049,000

Departs from the paper: 1x1 convolutions are the linear layers of the squeezed channels. The authors released two
networks in Caffe: `seresnet50_v1`, with the stride on the first 1x1, and `senet154_original`. Their max pooling pads at
the end only. `seresnet50` and `senet154` are timm's: they pool with padding on all sides, and `seresnet50` has the
stride on the 3x3 convolution (v1.5). Initial weights are by fan-out. `seresnet50_cifar_stem` is ours: a 3x3 stem
without pooling, for 32 pixels.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import nn

from convatlas.architecture import Architecture, Family, Paper, Published
from convatlas.architectures.resnet.blocks import (
    Block,
    bottleneck_branch,
    bottleneck_v1_branch,
    projection,
    residual_stages,
)
from convatlas.architectures.resnet.imagenet import (
    BOTTLENECK,
    POOL,
    TABLE_1,
    check_block,
    imagenet_row,
    imagenet_stem,
)
from convatlas.architectures.resnet.senet_keys import (
    TIMM_KEYS,
    TIMM_LEGACY_KEYS,
    TIMM_LEGACY_SENET154_KEYS,
    TIMM_SENET154_KEYS,
)
from convatlas.errors import UsageError, unknown
from convatlas.layers import (
    Activation,
    ConvNormAct,
    Layer,
    Residual,
    SqueezeExcite,
    activation_layer,
    check_counts,
    check_dropout,
    check_stages,
    classifier,
    initialize_kaiming,
    sequential,
)

BRANCHES: dict[str, Block] = {
    "bottleneck": partial(bottleneck_branch, groups=1, group_width=64),
    "bottleneck_v1": bottleneck_v1_branch,
}
BranchName = Literal["bottleneck", "bottleneck_v1"]
# The stem's pooling. Caffe rounds sizes up, and its last window goes past the edge; PyTorch's networks pad all sides.
POOLS: dict[str, Layer] = {"around": POOL, "end": partial(nn.MaxPool2d, 3, 2, ceil_mode=True)}
PoolPadding = Literal["around", "end"]


def se_bottleneck_block(
    in_channels: int, out_channels: int, *, stride: int, act: Layer, reduction: int, branch_of: Block
) -> Residual:
    """Builds figure 3, a bottleneck whose branch ends in the gate: (N, in, H, W) -> (N, out, H / stride, ...)."""
    branch = branch_of(in_channels, out_channels, stride=stride, act=act)
    branch.add_module("excite", SqueezeExcite(out_channels, out_channels // reduction, act=act))
    return Residual(branch, shortcut=projection(in_channels, out_channels, stride=stride), act=act())


def senet154_block(in_channels: int, out_channels: int, *, stride: int, act: Layer, reduction: int) -> Residual:
    """Builds ResNeXt's 64x4d with half the channels after the first 1x1: (N, in, H, W) -> (N, out, H / stride, ...).

    A shortcut that subsamples is a 3x3 convolution, as in the paper's appendix on SENet-154.
    """
    branch = sequential(
        conv1=ConvNormAct(in_channels, out_channels // 2, 1, act=act),
        conv2=ConvNormAct(out_channels // 2, out_channels, 3, stride=stride, groups=64, act=act),
        conv3=ConvNormAct(out_channels, out_channels, 1, act=None),
        excite=SqueezeExcite(out_channels, out_channels // reduction, act=act),
    )
    shortcut = projection(in_channels, out_channels, stride=stride)
    if stride > 1:
        shortcut = ConvNormAct(in_channels, out_channels, 3, stride=stride, act=None)
    return Residual(branch, shortcut=shortcut, act=act())


def seresnet(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    depths: tuple[int, ...] = TABLE_1[50],
    widths: tuple[int, ...] = BOTTLENECK,
    reduction: int = 16,
    block: BranchName = "bottleneck",
    pool_padding: PoolPadding = "around",
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds the ResNet of bottlenecks with gates: (N, in_channels, H, W) -> (N, num_classes), for 224 pixels.

    Each stage has `depths` blocks of `widths` output channels; each stage but the first halves height and width. A gate
    squeezes `reduction` channels to one. The `block` "bottleneck" has the stride on the 3x3, "bottleneck_v1" on the
    first 1x1. The stem's max pooling pads on all sides ("around") or at the end only ("end"). Initialisation: Kaiming
    normal by fan-out for every convolution, also in the gates; PyTorch's default for the linear layer and for biases.
    Raises `UsageError` for an unknown block, padding or activation, for depths and widths that do not match, and for a
    reduction that does not divide the widths.
    """
    act = activation_layer(activation)
    stages = _se_stages(depths, widths, act=act, reduction=reduction, block=block)
    stem = imagenet_stem(in_channels, act=act, pool=_pool(pool_padding))
    network = sequential(stem=stem, **stages, head=classifier(widths[-1], num_classes))
    initialize_kaiming(network, activation=activation, fan="fan_out")
    return network


def seresnet_cifar_stem(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    depths: tuple[int, ...] = TABLE_1[50],
    widths: tuple[int, ...] = BOTTLENECK,
    reduction: int = 16,
    block: BranchName = "bottleneck",
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds the stages of `seresnet` after a 3x3 convolution of stride 1: (N, in_channels, H, W) -> (N, num_classes).

    Initialisation as in `seresnet`. Raises `UsageError` as `seresnet` does.
    """
    act = activation_layer(activation)
    stages = _se_stages(depths, widths, act=act, reduction=reduction, block=block)
    network = sequential(
        stem=ConvNormAct(in_channels, 64, 3, act=act), **stages, head=classifier(widths[-1], num_classes)
    )
    initialize_kaiming(network, activation=activation, fan="fan_out")
    return network


def senet154(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    depths: tuple[int, ...] = TABLE_1[152],
    widths: tuple[int, ...] = BOTTLENECK,
    reduction: int = 16,
    dropout: float = 0.2,
    pool_padding: PoolPadding = "around",
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds SENet-154, with three 3x3 convolutions as stem: (N, in_channels, H, W) -> (N, num_classes).

    The network is for 224 pixels. Initialisation as in `seresnet`. Raises `UsageError` as `seresnet` does, for widths
    that do not fill 64 groups, and unless 0 <= dropout < 1.
    """
    check_stages(depths=depths, widths=widths)
    if any(width % 128 for width in widths):
        raise UsageError(f"widths={widths} of 64 groups must be multiples of 128")
    _check_reduction(reduction, widths)
    check_dropout(dropout)
    act = activation_layer(activation)
    stem = sequential(
        conv1=ConvNormAct(in_channels, 64, 3, stride=2, act=act),
        conv2=ConvNormAct(64, 64, 3, act=act),
        conv3=ConvNormAct(64, 128, 3, act=act),
        pool=_pool(pool_padding)(),
    )
    block = partial(senet154_block, act=act, reduction=reduction)
    stages = residual_stages(128, depths=depths, widths=widths, block=block)
    network = sequential(stem=stem, **stages, head=classifier(widths[-1], num_classes, dropout=dropout))
    initialize_kaiming(network, activation=activation, fan="fan_out")
    return network


def _se_stages(
    depths: tuple[int, ...], widths: tuple[int, ...], *, act: Layer, reduction: int, block: str
) -> dict[str, nn.Module]:
    """Builds stages of bottlenecks with gates, after a stem of 64 channels."""
    if block not in BRANCHES:
        raise unknown("block", block, BRANCHES)
    check_block(block, depths=depths, widths=widths)
    _check_reduction(reduction, widths)
    gated = partial(se_bottleneck_block, act=act, reduction=reduction, branch_of=BRANCHES[block])
    return residual_stages(64, depths=depths, widths=widths, block=gated)


def _pool(padding: str) -> Layer:
    if padding not in POOLS:
        raise unknown("pool_padding", padding, POOLS)
    return POOLS[padding]


def _check_reduction(reduction: int, widths: tuple[int, ...]) -> None:
    check_counts(reduction=reduction)
    if any(width % reduction for width in widths):
        raise UsageError(f"widths={widths} must be multiples of reduction={reduction}")


PAPER = Paper("Squeeze-and-Excitation Networks", "Hu, Shen, Sun", 2017, "https://arxiv.org/abs/1709.01507")

_row = partial(imagenet_row, paper=PAPER)

ROWS = (
    _row(
        "seresnet50",
        builder=seresnet,
        params=28_088_024,
        macs=4_091_699_200,
        layouts={"timm": TIMM_KEYS},
        note="timm's, v1.5: the stride on the 3x3 convolution, pooling padded all around; the paper's is v1",
    ),
    _row(
        "seresnet50_v1",
        builder=partial(seresnet, block="bottleneck_v1", pool_padding="end"),
        params=28_088_024,
        macs=3_860_488_192,
        published=(
            Published(
                0.7763, "validation", "imagenet", "hujie-frank/SENet's README, in Caffe, re-trained, one crop of 224"
            ),
        ),
        layouts={"timm_legacy": TIMM_LEGACY_KEYS},
        note="the network that the authors released: the stride on the first 1x1, pooling padded at the end only",
    ),
    _row(
        "senet154",
        builder=senet154,
        params=115_088_984,
        macs=20_688_363_520,
        layouts={"timm": TIMM_SENET154_KEYS},
        note="timm's and Gluon's: the max pooling pads all around; the authors' is senet154_original",
    ),
    _row(
        "senet154_original",
        builder=partial(senet154, pool_padding="end"),
        params=115_088_984,
        macs=20_688_363_520,
        published=(
            Published(0.8132, "validation", "imagenet", "hujie-frank/SENet's README, in Caffe, one crop of 224"),
        ),
        layouts={"timm_legacy": TIMM_LEGACY_SENET154_KEYS},
        note="the network that the authors released, in Caffe: the max pooling pads at the end only",
    ),
    Architecture(
        "seresnet50_cifar_stem",
        builder=seresnet_cifar_stem,
        paper=PAPER,
        dataset="cifar10",
        params=26_051_834,
        macs=1_300_344_832,
        note="not the paper's: the ImageNet network with a 3x3 stem, for images of 32 pixels",
    ),
)

FAMILY = Family(
    "senet",
    title="Squeeze-and-excitation networks",
    docstring=__doc__,
    rows=ROWS,
    shown="seresnet50",
    opened=("stage2.1",),
    lineage=("senet154",),
)
