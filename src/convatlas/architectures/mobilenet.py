"""MobileNet-v2: blocks that are wide inside and narrow at both ends, for devices with little computing power.

Sandler, Howard, Zhu, Zhmoginov, Chen. MobileNetV2: Inverted Residuals and Linear Bottlenecks. CVPR 2018.
https://arxiv.org/abs/1801.04381

>>> from convatlas.complexity import outline
>>> print(outline("mobilenet_v2"))
stem    32 x 112 x 112         928
stage1  16 x 112 x 112         896
stage2    24 x 56 x 56      13,968
stage3    32 x 28 x 28      39,696
stage4    64 x 14 x 14     183,872
stage5    96 x 14 x 14     303,168
stage6     160 x 7 x 7     795,264
stage7     320 x 7 x 7     473,920
conv      1280 x 7 x 7     412,160
head              1000   1,281,000

Departs from the paper: nothing in the layers. The weights are torchvision's. Its padding is on all sides, where the
authors' TensorFlow has SAME padding; its norms have an epsilon of 1e-5 instead of 1e-3; its initial weights are by
fan-out. `mobilenet_v2_cifar` is the network of https://github.com/kuangliu/pytorch-cifar, for 32 pixels. It has stride
1 in the stem and in the second stage, ReLU instead of ReLU6, and no dropout. Its first block has a 1x1 convolution
although it has nothing to expand. A block of stride 1 that changes the channels has a projection. The initial weights
are PyTorch's default.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Family, Paper, Published
from convatlas.architectures.sources import torchvision_published, torchvision_weights
from convatlas.layers import (
    ConvNormAct,
    InvertedRow,
    Layer,
    Residual,
    activation_layer,
    classifier,
    initialize_kaiming,
    initialize_normal,
    inverted_branch,
    inverted_residual,
    inverted_stages,
    scaled_width,
    sequential,
)

RELU = activation_layer("relu")
RELU6 = partial(nn.ReLU6, inplace=True)
STEM, LAST = 32, 1280  # channels before and after the rows

# Table 2: expansion t, kernel, stride s, channels c, blocks n.
TABLE_2 = (
    InvertedRow(expansion=1, kernel=3, stride=1, width=16, depth=1),
    InvertedRow(expansion=6, kernel=3, stride=2, width=24, depth=2),
    InvertedRow(expansion=6, kernel=3, stride=2, width=32, depth=3),
    InvertedRow(expansion=6, kernel=3, stride=2, width=64, depth=4),
    InvertedRow(expansion=6, kernel=3, stride=1, width=96, depth=3),
    InvertedRow(expansion=6, kernel=3, stride=2, width=160, depth=3),
    InvertedRow(expansion=6, kernel=3, stride=1, width=320, depth=1),
)
CIFAR_TABLE = tuple(row._replace(stride=1) if row.width == 24 else row for row in TABLE_2)


def projected_residual(in_channels: int, row: InvertedRow, *, conv: Layer, skipped: float) -> nn.Module:
    """Builds kuangliu's block: (N, in_channels, H, W) -> (N, row.width, H / stride, W / stride).

    It always begins with a 1x1 convolution. At stride 1 the input is always added, through a projection where the
    channels change.
    """
    branch = inverted_branch(in_channels, row, conv=conv, skipped=skipped)
    if row.expansion == 1:
        branch = sequential(expand=conv(in_channels, in_channels, 1), **dict(branch.named_children()))
    if row.stride > 1:
        return sequential(branch=branch)
    same = row.width == in_channels
    return Residual(branch, shortcut=None if same else conv(in_channels, row.width, 1, act=None))


def mobilenet_v2(
    *, num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.2
) -> nn.Sequential:
    """Builds the network of the paper's table 2: (N, in_channels, H, W) -> (N, num_classes), for 224 pixels.

    `width` is the multiplier of section 4. It applies to all channels; the last convolution never gets fewer than
    1,280. The products are rounded as in the authors' code (`scaled_width`). Initialisation as in torchvision:
    convolutions Kaiming normal by fan-out, the linear layer normal with standard deviation 0.01, its bias 0. Raises
    `UsageError` for a width that is not positive, and unless 0 <= dropout < 1.
    """
    conv = partial(ConvNormAct, act=RELU6)
    stem_channels, last_channels = _ends(width)
    rows = _scaled(TABLE_2, width)
    network = sequential(
        stem=conv(in_channels, stem_channels, 3, stride=2),
        **inverted_stages(stem_channels, rows, block=partial(inverted_residual, conv=conv)),
        conv=conv(rows[-1].width, last_channels, 1),
        head=classifier(last_channels, num_classes, dropout=dropout),
    )
    initialize_kaiming(network, activation="relu", fan="fan_out")
    initialize_normal(network, std=0.01, kinds=(nn.Linear,))
    return network


def mobilenet_v2_cifar(
    *, num_classes: int = 10, in_channels: int = 3, width: float = 1.0, dropout: float = 0.0
) -> nn.Sequential:
    """Builds kuangliu's form of the paper's table 2: (N, in_channels, H, W) -> (N, num_classes), for 32 pixels.

    `width` works as in `mobilenet_v2`. Initialisation: PyTorch's default, because kuangliu's code sets none. Raises
    `UsageError` as `mobilenet_v2` does.
    """
    conv = partial(ConvNormAct, act=RELU)
    stem_channels, last_channels = _ends(width)
    rows = _scaled(CIFAR_TABLE, width)
    return sequential(
        stem=conv(in_channels, stem_channels, 3),
        **inverted_stages(stem_channels, rows, block=partial(projected_residual, conv=conv)),
        conv=conv(rows[-1].width, last_channels, 1),
        head=classifier(last_channels, num_classes, dropout=dropout),
    )


def _ends(width: float) -> tuple[int, int]:
    """Returns the channels of the stem and of the last convolution."""
    return scaled_width(STEM, width), scaled_width(LAST, max(1.0, width))


def _scaled(rows: Iterable[InvertedRow], width: float) -> tuple[InvertedRow, ...]:
    return tuple(row._replace(width=scaled_width(row.width, width)) for row in rows)


PAPER = Paper(
    "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    "Sandler, Howard, Zhu, Zhmoginov, Chen",
    2018,
    "https://arxiv.org/abs/1801.04381",
)


def _places() -> list[str]:
    """Returns our names of the blocks, in the order in which torchvision and kuangliu number them."""
    return [f"stage{number}.{block}" for number, row in enumerate(TABLE_2, start=1) for block in range(row.depth)]


def _torchvision_keys() -> dict[str, str | None]:
    first, *others = _places()
    table: dict[str, str | None] = {
        "features.0.0": "stem.conv",
        "features.0.1": "stem.norm",
        "features.1.conv.0.0": f"{first}.branch.depthwise.conv",
        "features.1.conv.0.1": f"{first}.branch.depthwise.norm",
        "features.1.conv.1": f"{first}.branch.project.conv",
        "features.1.conv.2": f"{first}.branch.project.norm",
    }
    for position, place in enumerate(others, start=2):
        for index, layer in enumerate(("expand", "depthwise")):
            table[f"features.{position}.conv.{index}.0"] = f"{place}.branch.{layer}.conv"
            table[f"features.{position}.conv.{index}.1"] = f"{place}.branch.{layer}.norm"
        table[f"features.{position}.conv.2"] = f"{place}.branch.project.conv"
        table[f"features.{position}.conv.3"] = f"{place}.branch.project.norm"
    last = len(others) + 2
    return table | {f"features.{last}.0": "conv.conv", f"features.{last}.1": "conv.norm", "classifier.1": "head.fc"}


def _kuangliu_keys() -> dict[str, str | None]:
    table: dict[str, str | None] = {"conv1": "stem.conv", "bn1": "stem.norm"}
    for position, place in enumerate(_places()):
        for index, layer in enumerate(("expand", "depthwise", "project"), start=1):
            table[f"layers.{position}.conv{index}"] = f"{place}.branch.{layer}.conv"
            table[f"layers.{position}.bn{index}"] = f"{place}.branch.{layer}.norm"
    for position, place in enumerate(_places()):
        if place in ("stage1.0", "stage2.0", "stage5.0", "stage7.0"):  # stride 1, other channels
            table[f"layers.{position}.shortcut.0"] = f"{place}.shortcut.conv"
            table[f"layers.{position}.shortcut.1"] = f"{place}.shortcut.norm"
    return table | {"conv2": "conv.conv", "bn2": "conv.norm", "linear": "head.fc"}


TORCHVISION_KEYS = _torchvision_keys()
# The layers of timm's blocks. The first block has no expansion.
TIMM_KEYS: dict[str, str | None] = {
    "conv_stem": "stem.conv",
    "bn1": "stem.norm",
    "blocks.0.0.conv_dw": "stage1.0.branch.depthwise.conv",
    "blocks.0.0.bn1": "stage1.0.branch.depthwise.norm",
    "blocks.0.0.conv_pw": "stage1.0.branch.project.conv",
    "blocks.0.0.bn2": "stage1.0.branch.project.norm",
    "blocks.{}.{}.conv_pw": "stage{+1}.{}.branch.expand.conv",
    "blocks.{}.{}.bn1": "stage{+1}.{}.branch.expand.norm",
    "blocks.{}.{}.conv_dw": "stage{+1}.{}.branch.depthwise.conv",
    "blocks.{}.{}.bn2": "stage{+1}.{}.branch.depthwise.norm",
    "blocks.{}.{}.conv_pwl": "stage{+1}.{}.branch.project.conv",
    "blocks.{}.{}.bn3": "stage{+1}.{}.branch.project.norm",
    "conv_head": "conv.conv",
    "bn2": "conv.norm",
    "classifier": "head.fc",
}

ROWS = (
    Architecture(
        "mobilenet_v2",
        builder=mobilenet_v2,
        paper=PAPER,
        dataset="imagenet",
        image_size=224,
        num_classes=1000,
        params=3_504_872,
        macs=300_774_272,
        published=(torchvision_published(0.71878), torchvision_published(0.72154, version="IMAGENET1K_V2")),
        weights=(
            torchvision_weights("mobilenet_v2-b0353104.pth", keys=TORCHVISION_KEYS),
            torchvision_weights(
                "mobilenet_v2-7ebf99e0.pth", keys=TORCHVISION_KEYS, name="torchvision_v2", shorter_side=232
            ),
        ),
        layouts={"timm": TIMM_KEYS},
        note="the option width gives the paper's other widths; padding and epsilon are torchvision's, not TensorFlow's",
    ),
    Architecture(
        "mobilenet_v2_cifar",
        builder=mobilenet_v2_cifar,
        paper=PAPER,
        dataset="cifar10",
        params=2_296_922,
        macs=91_154_944,
        published=(
            Published(0.9443, "test", "cifar10", "kuangliu/pytorch-cifar's README, best epoch by the test set"),
        ),
        layouts={"kuangliu": _kuangliu_keys()},
        note="not the paper's: strides for images of 32 pixels, ReLU, a projection where a block changes the channels",
    ),
)

FAMILY = Family(
    "mobilenet",
    title="MobileNet-v2",
    docstring=__doc__,
    rows=ROWS,
    shown="mobilenet_v2",
    opened=("stage2.1",),
    lineage=("mobilenet_v2",),
)
