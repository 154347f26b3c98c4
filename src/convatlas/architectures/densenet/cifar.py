"""DenseNet at CIFAR size: every layer sees the features of all earlier layers of its block.

Huang, Liu, van der Maaten, Weinberger. Densely Connected Convolutional Networks. CVPR 2017.
https://arxiv.org/abs/1608.06993; the authors' code is https://github.com/liuzhuang13/DenseNet.
`densenet_bc_*_slides` are DenseNet-BC in the form of https://github.com/hoya012/pytorch-densenet, which slides use too.

>>> from convatlas.complexity import outline
>>> print(outline("densenet_bc_100_12"))
stem          24 x 32 x 32         648
block1       216 x 32 x 32     175,680
transition1  108 x 16 x 16      23,760
block2       300 x 16 x 16     242,880
transition2    150 x 8 x 8      45,600
block3         342 x 8 x 8     276,480
norm           342 x 8 x 8         684
act            342 x 8 x 8           0
head                    10       3,430

Departs from the paper: nothing in `densenet_40_12`, `densenet_100_*` and `densenet_bc_*`. For the stem of the plain
networks the paper has 16 channels, and the authors' code has two growth rates (`densenet_40_12_init24`).
`-o layer=bottleneck` makes a plain network DenseNet-B, `-o compression=0.5` makes it DenseNet-C. The slides' form has a
bias in the stem, no norm and activation before the pooling, and dropout of 0.2 after each bottleneck although images
are augmented. `densenet121_cifar` is the network of https://github.com/kuangliu/pytorch-cifar, with new features before
old ones.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import nn

from convatlas.architecture import Architecture, Paper, Published
from convatlas.architectures.densenet.blocks import (
    LAYERS,
    RecomputedBlock,
    check_fractions,
    dense_block,
    dense_stages,
    dropped,
    transition,
)
from convatlas.errors import unknown
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

LayerName = Literal["basic", "bottleneck", "bottleneck_new_first"]


def dropped_once_layer(in_channels: int, *, growth_rate: int, act: Layer, dropout: float) -> Concat:
    """Builds the slides' bottleneck layer, with dropout after its second convolution only."""
    new = sequential(
        conv1=NormActConv(in_channels, 4 * growth_rate, 1, act=act),
        conv2=dropped(NormActConv(4 * growth_rate, growth_rate, 3, act=act), dropout),
    )
    return Concat(old=nn.Identity(), new=new)


def densenet_cifar(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    depths: tuple[int, ...] = (16, 16, 16),
    growth_rate: int = 12,
    stem_channels: int = 24,
    layer: LayerName = "bottleneck",
    compression: float = 0.5,
    dropout: float = 0.0,
    memory_efficient: bool = False,
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds the paper's CIFAR networks, section 3: (N, in_channels, H, W) -> (N, num_classes), at least 4 pixels.

    Each block has `depths` layers; transitions keep `compression` of the channels. `dropout` follows every convolution
    but the first; the paper has 0.2 where images are not augmented, and none otherwise. With `memory_efficient` the
    blocks keep less for the gradients and compute it again (`RecomputedBlock`). Initialisation as in the authors' code:
    Kaiming normal by fan-out; the linear layer uniform within 1 / sqrt(fan-in), PyTorch's default, with bias 0. Raises
    `UsageError` for an unknown layer or activation, for counts below 1, and for fractions out of range.
    """
    if layer not in LAYERS:
        raise unknown("layer", layer, LAYERS)
    check_counts(depths=depths, growth_rate=growth_rate, stem_channels=stem_channels)
    check_fractions(compression=compression, dropout=dropout)
    act = activation_layer(activation)
    stem = nn.Conv2d(in_channels, stem_channels, 3, padding=1, bias=False)
    block = partial(
        dense_block,
        growth_rate=growth_rate,
        layer=partial(LAYERS[layer], act=act, dropout=dropout),
        kind=RecomputedBlock if memory_efficient else nn.Sequential,
    )
    between = partial(transition, act=act, compression=compression, dropout=dropout)
    blocks, channels = dense_stages(stem_channels, depths, block=block, between=between)
    norm, head = nn.BatchNorm2d(channels), classifier(channels, num_classes)
    network = sequential(stem=sequential(conv=stem), **blocks, norm=norm, act=act(), head=head)
    initialize_kaiming(network, activation=activation, fan="fan_out")
    nn.init.zeros_(head.get_parameter("fc.bias"))
    return network


def densenet_slides(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    depths: tuple[int, ...] = (16, 16, 16),
    growth_rate: int = 12,
    dropout: float = 0.2,
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds the slides' DenseNet-BC: (N, in_channels, H, W) -> (N, num_classes), at least 4 pixels.

    Initialisation: PyTorch's default, because the slides' code sets none. Raises `UsageError` for counts below 1, and
    unless 0 <= dropout < 1.
    """
    check_counts(depths=depths, growth_rate=growth_rate)
    check_fractions(dropout=dropout)
    act = activation_layer(activation)
    stem = nn.Conv2d(in_channels, 2 * growth_rate, 3, padding=1)
    layer = partial(dropped_once_layer, act=act, dropout=dropout)
    block = partial(dense_block, growth_rate=growth_rate, layer=layer)
    blocks, channels = dense_stages(2 * growth_rate, depths, block=block, between=partial(transition, act=act))
    return sequential(stem=sequential(conv=stem), **blocks, head=classifier(channels, num_classes))


PAPER = Paper(
    "Densely Connected Convolutional Networks",
    "Huang, Liu, van der Maaten, Weinberger",
    2016,
    "https://arxiv.org/abs/1608.06993",
)
_TABLE = "the paper's table 2"


def _published(
    *, c10: float | None = None, c10_augmented: float, c100: float | None = None, c100_augmented: float
) -> tuple[Published, ...]:
    """Returns a line of the paper's table 2, the accuracy with augmentation first."""
    plain = f"{_TABLE}, not augmented, dropout 0.2"
    results = [Published(c10_augmented, "test", "cifar10", f"{_TABLE}, augmented")]
    results += [Published(c10, "test", "cifar10", plain)] if c10 else []
    results += [Published(c100_augmented, "test", "cifar100", f"{_TABLE}, augmented")]
    results += [Published(c100, "test", "cifar100", plain)] if c100 else []
    return tuple(results)


_paper = partial(Architecture, paper=PAPER, dataset="cifar10", recipe="densenet_cifar")
_slides = partial(
    Architecture,
    paper=PAPER,
    dataset="cifar10",
    recipe="densenet_slides",
    note="hoya012/pytorch-densenet's form, not the paper's: biased stem, no final norm, dropout with augmentation",
)

_plain = partial(densenet_cifar, layer="basic", compression=1.0)
_SIXTEEN = "16 stem channels, as in the paper; the authors' code has {}"

KUANGLIU_KEYS: dict[str, str | None] = {
    "conv1": "stem.conv",
    "dense{}.{}.bn{}": "block{}.{}.new.conv{}.norm",
    "dense{}.{}.conv{}": "block{}.{}.new.conv{}.conv",
    "trans{}.bn": "transition{}.conv.norm",
    "trans{}.conv": "transition{}.conv.conv",
    "bn": "norm",
    "linear": "head.fc",
}

ROWS = (
    _paper(
        "densenet_40_12",
        builder=partial(_plain, depths=(12, 12, 12), stem_channels=16),
        params=1_019_722,
        macs=264_812_928,
        published=_published(c10=0.9300, c10_augmented=0.9476, c100=0.7245, c100_augmented=0.7558),
        note=_SIXTEEN.format(24),
    ),
    _paper(
        "densenet_40_12_init24",
        builder=partial(_plain, depths=(12, 12, 12), stem_channels=24),
        params=1_059_298,
        macs=282_917_328,
        note="24 stem channels, as in the authors' code; the paper says 16",
    ),
    _paper(
        "densenet_100_12",
        builder=partial(_plain, depths=(32, 32, 32), stem_channels=16),
        params=6_979_642,
        macs=1_769_516_448,
        published=_published(c10_augmented=0.9590, c100_augmented=0.7980),
        note=_SIXTEEN.format(24),
    ),
    _paper(
        "densenet_100_24",
        builder=partial(_plain, depths=(32, 32, 32), growth_rate=24, stem_channels=16),
        params=27_249_082,
        macs=6_889_347_744,
        published=_published(c10_augmented=0.9626, c100_augmented=0.8075),
        note=_SIXTEEN.format(48),
    ),
    _paper(
        "densenet_bc_100_12",
        builder=densenet_cifar,
        params=769_162,
        macs=287_929_692,
        published=_published(c10=0.9408, c10_augmented=0.9549, c100=0.7585, c100_augmented=0.7773),
    ),
    _paper(
        "densenet_bc_250_24",
        builder=partial(densenet_cifar, depths=(41, 41, 41), growth_rate=24, stem_channels=48),
        params=15_324_406,
        macs=5_418_785_724,
        published=_published(c10=0.9481, c10_augmented=0.9638, c100=0.8036, c100_augmented=0.8240),
    ),
    _paper(
        "densenet_bc_190_40",
        builder=partial(densenet_cifar, depths=(31, 31, 31), growth_rate=40, stem_channels=80),
        params=25_624_430,
        macs=9_301_945_740,
        published=_published(c10_augmented=0.9654, c100_augmented=0.8282),
    ),
    _slides("densenet_bc_100_12_slides", builder=densenet_slides, params=768_502, macs=287_929_692),
    _slides(
        "densenet_bc_250_24_slides",
        builder=partial(densenet_slides, depths=(41, 41, 41), growth_rate=24),
        params=15_320_986,
        macs=5_418_785_724,
    ),
    _slides(
        "densenet_bc_190_40_slides",
        builder=partial(densenet_slides, depths=(31, 31, 31), growth_rate=40),
        params=25_620_130,
        macs=9_301_945_740,
    ),
    Architecture(
        "densenet121_cifar",
        builder=partial(
            densenet_cifar,
            layer="bottleneck_new_first",
            depths=(6, 12, 24, 16),
            growth_rate=32,
            stem_channels=64,
        ),
        paper=PAPER,
        dataset="cifar10",
        layouts={"kuangliu": KUANGLIU_KEYS},
        params=6_956_298,
        macs=888_350_720,
        published=(
            Published(0.9504, "test", "cifar10", "kuangliu/pytorch-cifar's README, best epoch by the test set"),
        ),
        note="not the paper's: the blocks of the ImageNet network after a 3x3 stem, for images of 32 pixels",
    ),
)
