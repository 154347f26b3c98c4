"""ResNet at CIFAR size, and the plain networks that it is compared with: depth hurts without shortcuts, helps with.

He, Zhang, Ren, Sun. Deep Residual Learning for Image Recognition. CVPR 2016. https://arxiv.org/abs/1512.03385,
section 4.2: 6n + 2 layers, in three stages of 16, 32 and 64 channels.

>>> from convatlas.complexity import outline
>>> print(outline("resnet20"))
stem    16 x 32 x 32         464
stage1  16 x 32 x 32      14,016
stage2  32 x 16 x 16      51,072
stage3    64 x 8 x 8     203,520
head              10         650

Departs from the paper: nothing in `resnet*` and `plain*`. The `_b` forms are ours by the paper's option B of section
3.3, a 1x1 convolution and norm where the size changes; at CIFAR size the paper has option A only.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import nn

from convatlas.architecture import Architecture, Paper, Published, Weights
from convatlas.errors import UsageError, unknown
from convatlas.layers import (
    Activation,
    ConvNormAct,
    Layer,
    Residual,
    ZeroPadShortcut,
    activation_layer,
    check_counts,
    classifier,
    initialize_kaiming,
    sequential,
)


def plain_block(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> nn.Sequential:
    """Two 3x3 convolutions without a shortcut: (N, in, H, W) -> (N, out, H / stride, W / stride)."""
    return sequential(
        conv1=ConvNormAct(in_channels, out_channels, 3, stride=stride, act=act),
        conv2=ConvNormAct(out_channels, out_channels, 3, act=act),
    )


def _branch(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> nn.Sequential:
    """As the plain block, without its last activation, which comes after the sum."""
    return sequential(
        conv1=ConvNormAct(in_channels, out_channels, 3, stride=stride, act=act),
        conv2=ConvNormAct(out_channels, out_channels, 3, act=None),
    )


def option_a_block(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> Residual:
    """Figure 2 with option A of section 3.3, zero channels: (N, in, H, W) -> (N, out, H / stride, W / stride)."""
    same = stride == 1 and in_channels == out_channels
    shortcut = None if same else ZeroPadShortcut(in_channels, out_channels, stride=stride)
    return Residual(_branch(in_channels, out_channels, stride=stride, act=act), shortcut=shortcut, act=act())


def option_b_block(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> Residual:
    """Figure 2 with option B of section 3.3, projection: (N, in, H, W) -> (N, out, H / stride, W / stride)."""
    same = stride == 1 and in_channels == out_channels
    shortcut = None if same else ConvNormAct(in_channels, out_channels, 1, stride=stride, act=None)
    return Residual(_branch(in_channels, out_channels, stride=stride, act=act), shortcut=shortcut, act=act())


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
    """The 6n + 2 layers of section 4.2: (N, in_channels, H, W) -> (N, num_classes).

    `depths` blocks of `widths` channels in each stage; each stage but the first halves height and width.
    Initialisation: Kaiming normal by fan-in for every convolution, equation 10 of the paper that section 4.2 cites for
    it (https://arxiv.org/abs/1502.01852); PyTorch's default for the linear layer, of which nothing is said.
    Raises `UsageError` for an unknown block or activation and for depths and widths that do not match.
    """
    if block not in BLOCKS:
        raise unknown("block", block, BLOCKS)
    check_counts(depths=depths, widths=widths)
    if len(depths) != len(widths):
        raise UsageError(f"depths={depths} and widths={widths} must have one entry for each stage")
    act = activation_layer(activation)
    stages: dict[str, nn.Module] = {"stem": ConvNormAct(in_channels, widths[0], 3, act=act)}
    channels = widths[0]
    for index, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        first = BLOCKS[block](channels, width, stride=1 if index == 1 else 2, act=act)
        rest = [BLOCKS[block](width, width, stride=1, act=act) for _ in range(depth - 1)]
        stages[f"stage{index}"] = nn.Sequential(first, *rest)
        channels = width
    network = sequential(**stages, head=classifier(channels, num_classes))
    initialize_kaiming(network, activation=activation, fan="fan_in")
    return network


PAPER = Paper(
    "Deep Residual Learning for Image Recognition",
    "He, Zhang, Ren, Sun",
    2015,
    "https://arxiv.org/abs/1512.03385",
)

# The form in which most published CIFAR ResNets come; a leading "module." is DataParallel's.
AKAMASTER_KEYS: dict[str, str | None] = {
    "conv1": "stem.conv",
    "bn1": "stem.norm",
    "layer{}.{}.conv{}": "stage{}.{}.branch.conv{}.conv",
    "layer{}.{}.bn{}": "stage{}.{}.branch.conv{}.norm",
    "linear": "head.fc",
}
AKAMASTER_OPTION_B_KEYS: dict[str, str | None] = {
    **AKAMASTER_KEYS,
    "layer{}.{}.shortcut.0": "stage{}.{}.shortcut.conv",
    "layer{}.{}.shortcut.1": "stage{}.{}.shortcut.norm",
}


def _row(
    layers: int, *, params: int, macs: int, paper: float, runs: str = "", akamaster: float, digest: str
) -> Architecture:
    """A ResNet of the paper's table 6; accuracies of the paper and of akamaster's checkpoint."""
    source = "akamaster/pytorch_resnet_cifar10 README, best epoch by the test set"
    weights = Weights(
        "akamaster",
        url="https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/"
        f"resnet{layers}-{digest}.th",
        sha256=digest,
        keys=AKAMASTER_KEYS,
        mean=(0.485, 0.456, 0.406),  # ImageNet's, on CIFAR-10: so it was trained
        std=(0.229, 0.224, 0.225),
        image_size=32,
        dataset="cifar10",
    )
    return Architecture(
        f"resnet{layers}",
        builder=partial(resnet_cifar, depths=((layers - 2) // 6,) * 3),
        family="resnet",
        paper=PAPER,
        dataset="cifar10",
        params=params,
        macs=macs,
        published=(
            Published(paper, "test", "cifar10", f"the paper's table 6{runs}"),
            Published(akamaster, "test", "cifar10", source),
        ),
        weights=(weights,),
        recipe="he_cifar",
    )


def _variant(layers: int, block: Literal["option_b", "plain"], *, params: int, macs: int) -> Architecture:
    """A network of the same layers with another block; the paper prints no accuracies of these."""
    name, note = {
        "option_b": (f"resnet{layers}_b", "projections where the paper's CIFAR networks have zero channels"),
        "plain": (f"plain{layers}", "without shortcuts; the paper shows its error in figure 6 only"),
    }[block]
    return Architecture(
        name,
        builder=partial(resnet_cifar, depths=((layers - 2) // 6,) * 3, block=block),
        family="resnet",
        paper=PAPER,
        dataset="cifar10",
        params=params,
        macs=macs,
        recipe="he_cifar",
        note=note,
    )


BEST_OF_5 = ", best of 5 runs (their mean 93.39 %)"
ARCHITECTURES = (
    _row(20, params=269_722, macs=40_551_040, paper=0.9125, akamaster=0.9173, digest="12fca82f"),
    _row(32, params=464_154, macs=68_862_592, paper=0.9249, akamaster=0.9263, digest="d509ac18"),
    _row(44, params=658_586, macs=97_174_144, paper=0.9283, akamaster=0.9310, digest="014dd654"),
    _row(56, params=853_018, macs=125_485_696, paper=0.9303, akamaster=0.9339, digest="4bfd9763"),
    _row(110, params=1_727_962, macs=252_887_680, paper=0.9357, runs=BEST_OF_5, akamaster=0.9368, digest="1d1ed7c2"),
    _row(1202, params=19_421_274, macs=2_829_238_912, paper=0.9207, akamaster=0.9382, digest="f3b1deed"),
    _variant(20, "option_b", params=272_474, macs=40_813_184),
    _variant(32, "option_b", params=466_906, macs=69_124_736),
    _variant(44, "option_b", params=661_338, macs=97_436_288),
    _variant(56, "option_b", params=855_770, macs=125_747_840),
    _variant(110, "option_b", params=1_730_714, macs=253_149_824),
    _variant(1202, "option_b", params=19_424_026, macs=2_829_501_056),
    _variant(20, "plain", params=269_722, macs=40_551_040),
    _variant(32, "plain", params=464_154, macs=68_862_592),
    _variant(44, "plain", params=658_586, macs=97_174_144),
    _variant(56, "plain", params=853_018, macs=125_485_696),
    _variant(110, "plain", params=1_727_962, macs=252_887_680),
)
