"""VGG: only 3x3 convolutions; two or three of them in a row see as many pixels as one large filter.

Simonyan, Zisserman. Very Deep Convolutional Networks for Large-Scale Image Recognition. ICLR 2015.
https://arxiv.org/abs/1409.1556
`vgg11_textbook` and its form with a quarter of the channels are the networks of Dive into Deep Learning (Zhang, Lipton,
Li, Smola 2021).

>>> from convatlas.complexity import outline
>>> print(outline("vgg16"))
stage1  64 x 112 x 112      38,720
stage2   128 x 56 x 56     221,440
stage3   256 x 28 x 28   1,475,328
stage4   512 x 14 x 14   5,899,776
stage5     512 x 7 x 7   7,079,424
head              1000  123,642,856

Departs from the paper: there are configurations A, B, D and E. The last pooling is adaptive, so that images need not
have 224 pixels. Initial weights are torchvision's; the paper starts the deeper networks from the trained A. `*_bn` add
batch norm, which the paper does not have, and keep the biases. `*_cifar` are the networks of
https://github.com/kuangliu/pytorch-cifar: the convolutions of `*_bn` with one linear layer; in kuangliu's code the
initial weights are PyTorch's default.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import nn

from convatlas.architecture import Architecture, Family, Paper, Published
from convatlas.architectures.sources import (
    TEXTBOOK,
    textbook_published,
    torchvision_published,
    torchvision_weights,
)
from convatlas.errors import UsageError, unknown
from convatlas.layers import (
    ConvNormAct,
    Layer,
    activation_layer,
    check_counts,
    check_stages,
    classifier,
    dense_layers,
    initialize_kaiming,
    initialize_normal,
    initialize_xavier,
    sequential,
)

RELU = activation_layer("relu")
NORMS: dict[str, Layer | None] = {"none": None, "batch": nn.BatchNorm2d}


def stage(in_channels: int, out_channels: int, *, depth: int, norm: Layer | None) -> nn.Sequential:
    """Builds `depth` 3x3 convolutions and max pooling: (N, in_channels, H, W) -> (N, out_channels, H / 2, W / 2)."""
    convolutions = {
        f"conv{index}": ConvNormAct(
            in_channels if index == 1 else out_channels, out_channels, 3, bias=True, norm=norm, act=RELU
        )
        for index in range(1, depth + 1)
    }
    return sequential(**convolutions, pool=nn.MaxPool2d(2))


def stages(
    in_channels: int, *, depths: tuple[int, ...], widths: tuple[int, ...], norm: Layer | None
) -> dict[str, nn.Module]:
    """Builds the stages of a column of table 1, by name."""
    channels = (in_channels, *widths)
    return {
        f"stage{index}": stage(channels[index - 1], widths[index - 1], depth=depth, norm=norm)
        for index, depth in enumerate(depths, start=1)
    }


def _check(depths: tuple[int, ...], widths: tuple[int, ...], norm: str) -> Layer | None:
    if norm not in NORMS:
        raise unknown("norm", norm, NORMS)
    check_stages(depths=depths, widths=widths)
    return NORMS[norm]


def _initialize(network: nn.Module) -> None:
    initialize_kaiming(network, activation="relu", fan="fan_out")
    initialize_normal(network, std=0.01, kinds=(nn.Linear,))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.get_parameter("bias"))


def vgg(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    depths: tuple[int, ...] = (2, 2, 3, 3, 3),
    widths: tuple[int, ...] = (64, 128, 256, 512, 512),
    norm: Literal["none", "batch"] = "none",
    hidden: int = 4096,
    dropout: float = 0.5,
) -> nn.Sequential:
    """Builds the network of the paper's table 1: (N, in_channels, H, W) -> (N, num_classes), at least 32 pixels.

    Each stage has `depths` convolutions of `widths` channels; two linear layers of `hidden` units follow. Five stages
    need at least 32 pixels. Initialisation as in torchvision: convolutions Kaiming normal by fan-out, linear layers
    normal with standard deviation 0.01, biases 0. Raises `UsageError` for an unknown norm, for depths and widths that
    do not match, for counts below 1, and unless 0 <= dropout < 1.
    """
    norm_layer = _check(depths, widths, norm)
    dense = dense_layers(7 * 7 * widths[-1], hidden=hidden, num_classes=num_classes, dropout=dropout)
    head = sequential(pool=nn.AdaptiveAvgPool2d(7), flatten=nn.Flatten(), **dense)
    network = sequential(**stages(in_channels, depths=depths, widths=widths, norm=norm_layer), head=head)
    _initialize(network)
    return network


def vgg_cifar(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    depths: tuple[int, ...] = (2, 2, 3, 3, 3),
    widths: tuple[int, ...] = (64, 128, 256, 512, 512),
    norm: Literal["none", "batch"] = "batch",
) -> nn.Sequential:
    """Builds the stages of `vgg` and one linear layer: (N, in_channels, H, W) -> (N, num_classes), at least 32 pixels.

    Initialisation as in `vgg`. Raises `UsageError` as `vgg` does.
    """
    norm_layer = _check(depths, widths, norm)
    convolutions = stages(in_channels, depths=depths, widths=widths, norm=norm_layer)
    network = sequential(**convolutions, head=classifier(widths[-1], num_classes))
    _initialize(network)
    return network


def vgg_textbook(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    blocks: tuple[tuple[int, int], ...] = ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512)),
) -> nn.Sequential:
    """Builds the textbook's VGG from pairs (convolutions, channels): (N, in_channels, 224, 224) -> (N, num_classes).

    Initialisation: Xavier uniform, biases at PyTorch's default. Raises `UsageError` unless there are five pairs of
    counts: the linear layers take 7 x 7 pixels, which five stages make of 224.
    """
    if len(blocks) != 5 or any(len(pair) != 2 for pair in blocks):
        raise UsageError(
            f"blocks={blocks} must be five pairs (convolutions, channels), as 1x64,1x128,2x256,2x512,2x512"
        )
    for pair in blocks:
        check_counts(blocks=pair)
    depths, widths = zip(*blocks, strict=True)
    dense = dense_layers(7 * 7 * widths[-1], hidden=4096, num_classes=num_classes, dropout=0.5)
    head = sequential(flatten=nn.Flatten(), **dense)
    network = sequential(**stages(in_channels, depths=depths, widths=widths, norm=None), head=head)
    initialize_xavier(network)
    return network


PAPER = Paper(
    "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    "Simonyan, Zisserman",
    2014,
    "https://arxiv.org/abs/1409.1556",
)


def torchvision_keys(depths: tuple[int, ...], *, norm: Literal["none", "batch"]) -> dict[str, str | None]:
    """Returns the key table. torchvision numbers all modules before the classifier, also activations and poolings."""
    table: dict[str, str | None] = {}
    position = 0
    for index, depth in enumerate(depths, start=1):
        for conv in range(1, depth + 1):
            table[f"features.{position}"] = f"stage{index}.conv{conv}.conv"
            if norm == "batch":
                table[f"features.{position + 1}"] = f"stage{index}.conv{conv}.norm"
            position += 2 if norm == "none" else 3  # the activation has a number too
        position += 1  # the pooling has a number too
    return table


HEAD_KEYS = {"classifier.0": "head.fc1", "classifier.3": "head.fc2", "classifier.6": "head.fc"}
TIMM_HEAD_KEYS = {"pre_logits.fc1": "head.fc1", "pre_logits.fc2": "head.fc2", "head.fc": "head.fc"}

# Table 1. layers: convolutions in each stage.
TABLE_1 = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
# layers: parameters, torchvision's file and the accuracy that it states; then the networks with batch norm.
PLAIN = {
    11: (132_863_336, "vgg11-8a719046.pth", 0.69020),
    13: (133_047_848, "vgg13-19584684.pth", 0.69928),
    16: (138_357_544, "vgg16-397923af.pth", 0.71592),
    19: (143_667_240, "vgg19-dcbb9e9d.pth", 0.72376),
}
BATCH_NORM = {
    11: (132_868_840, "vgg11_bn-6002323d.pth", 0.70370),
    13: (133_053_736, "vgg13_bn-abd245e5.pth", 0.71586),
    16: (138_365_992, "vgg16_bn-6c64b313.pth", 0.73360),
    19: (143_678_248, "vgg19_bn-c79401a0.pth", 0.74218),
}
NOTES = {
    16: "lectures print 24M values or 96 MB of activations; the sum of their own rows is 15,237,608 values or 61 MB",
}
MACS = {11: 7_609_090_048, 13: 11_308_466_176, 16: 15_470_264_320, 19: 19_632_062_464}
# CIFAR form. layers: parameters, MACs, the accuracy that kuangliu's README states.
CIFAR = {
    11: (9_231_114, 152_769_536, None),
    13: (9_416_010, 228_267_008, None),
    16: (14_728_266, 313_201_664, 0.9264),
    19: (20_040_522, 398_136_320, None),
}


def _row(layers: int, *, norm: Literal["none", "batch"]) -> Architecture:
    params, file, top1 = PLAIN[layers] if norm == "none" else BATCH_NORM[layers]
    body = torchvision_keys(TABLE_1[layers], norm=norm)
    return Architecture(
        f"vgg{layers}" if norm == "none" else f"vgg{layers}_bn",
        builder=partial(vgg, depths=TABLE_1[layers], norm=norm),
        paper=PAPER,
        dataset="imagenet",
        image_size=224,
        num_classes=1000,
        params=params,
        macs=MACS[layers],
        published=(torchvision_published(top1),),
        weights=(torchvision_weights(file, keys=body | HEAD_KEYS),),
        layouts={"timm": body | TIMM_HEAD_KEYS},
        note="batch norm is not in the paper; the biases are kept" if norm == "batch" else NOTES.get(layers, ""),
    )


def _cifar_row(layers: int) -> Architecture:
    params, macs, top1 = CIFAR[layers]
    readme = "kuangliu/pytorch-cifar's README, best epoch by the test set"
    return Architecture(
        f"vgg{layers}_bn_cifar",
        builder=partial(vgg_cifar, depths=TABLE_1[layers]),
        paper=PAPER,
        dataset="cifar10",
        params=params,
        macs=macs,
        published=() if top1 is None else (Published(top1, "test", "cifar10", readme),),
        layouts={"kuangliu": torchvision_keys(TABLE_1[layers], norm="batch") | {"classifier": "head.fc"}},
        note="not the paper's: the convolutions of the ImageNet network with one linear layer, for images of 32 pixels",
    )


_textbook = partial(Architecture, paper=TEXTBOOK, dataset="cifar10", image_size=224, recipe="textbook")

ROWS = (
    *(_row(layers, norm="none") for layers in TABLE_1),
    *(_row(layers, norm="batch") for layers in TABLE_1),
    *(_cifar_row(layers) for layers in TABLE_1),
    _textbook(
        "vgg11_textbook",
        builder=vgg_textbook,
        params=128_807_306,
        macs=7_605_035_008,
        published=textbook_published(0.5388, "cifar10", pixels=224),
        note="the textbook's network; with its recipe it stays at chance level for the first 4 epochs",
    ),
    _textbook(
        "vgg11_textbook_small",
        builder=partial(vgg_textbook, blocks=((1, 16), (1, 32), (2, 64), (2, 128), (2, 128))),
        params=43_093_610,
        macs=526_606_336,
        published=textbook_published(0.4949, "cifar10", pixels=224),
        note="the textbook's network, a quarter as wide; with its recipe it stays at chance level for the first "
        "5 epochs",
    ),
)

FAMILY = Family(
    "vgg",
    title="VGG",
    docstring=__doc__,
    rows=ROWS,
    shown="vgg16",
    lineage=("vgg16",),
)
