"""Big Transfer (BiT): wide pre-activation ResNets, trained once on much data, then fine-tuned to any task.

Kolesnikov, Beyer, Zhai, Puigcerver, Yung, Gelly, Houlsby. Big Transfer (BiT): General Visual Representation Learning.
ECCV 2020. https://arxiv.org/abs/1912.11370. Details are from the released code,
https://github.com/google-research/big_transfer. Group norm and standardised convolutions replace batch norm, so that
the training of an image does not depend on its batch.

>>> from convatlas.complexity import outline
>>> print(outline("bit_resnet50x1"))
stem      64 x 56 x 56       9,408
stage1   256 x 56 x 56     214,912
stage2   512 x 28 x 28   1,218,048
stage3  1024 x 14 x 14   7,095,296
stage4    2048 x 7 x 7  14,958,592
norm      2048 x 7 x 7       4,096
act       2048 x 7 x 7           0
head              1000   2,049,000

The released weights are `.npz` files at https://storage.googleapis.com/bit_models/: `BiT-M-R50x1.npz` (ImageNet-21k,
21,843 classes), `BiT-S-R50x1.npz` and `BiT-M-R50x1-ILSVRC2012.npz` (ImageNet, 1,000 classes) and so on. Their checksums
are not known here, so they are not downloaded by name. `load("bit_resnet50x1", "BiT-M-R50x1.npz")` reads a file, and so
do the commands that take a checkpoint. The images have mean 0.5 and standard deviation 0.5 in each channel:
`--mean 0.5,0.5,0.5 --std 0.5,0.5,0.5`. Fine-tuned checkpoints of the released PyTorch code and timm's checkpoints are
read too.

Departs from the paper: nothing. The stride is on the 3x3 convolution. Initial weights are PyTorch's default, as in the
released PyTorch code; their scale does not matter in standardised convolutions. The initial weights of the paper's
training are not published. The head begins at zero, as in the released code before fine-tuning.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Published
from convatlas.architectures.bit.blocks import PAPER, StandardizedConv2d, standardized_stages, zero_head
from convatlas.architectures.sources import TIMM_RESNETV2_KEYS
from convatlas.layers import Activation, activation_layer, sequential


def bit_resnet(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    stem_channels: int = 64,
    depths: tuple[int, ...] = (3, 4, 6, 3),
    widths: tuple[int, ...] = (256, 512, 1024, 2048),
    groups: int = 32,
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds the released networks: (N, in_channels, H, W) -> (N, num_classes).

    Each stage has `depths` bottlenecks of `widths` output channels. The stem halves height and width twice, and each
    stage but the first halves them once more. `groups` is the number of groups of every norm. Initial weights:
    PyTorch's default, the head zero. Raises `UsageError` for an unknown activation, for depths and widths that do not
    match, and for channels that are not divisible into groups.
    """
    act = activation_layer(activation)
    stages = standardized_stages(stem_channels, depths=depths, widths=widths, groups=groups, act=act)
    stem = sequential(
        conv=StandardizedConv2d(in_channels, stem_channels, 7, 2, padding=3, bias=False),
        # The padding is zeros, as in the release. A pooling pads with -inf, which differs before the first activation.
        pad=nn.ConstantPad2d(1, 0.0),
        pool=nn.MaxPool2d(3, 2),
    )
    return sequential(stem=stem, **stages, head=zero_head(widths[-1], num_classes))


# The names in a published file, as `read_npz` gives them. Blocks and units count from 1; a unit's layers are a, b, c.
NPZ_KEYS: dict[str, str | None] = {
    "resnet.root_block.standardized_conv2d": "stem.conv",
    "resnet.block{}.unit01.a.proj.standardized_conv2d": "stage{}.0.paths.shortcut",
    "resnet.block{}.unit01.a.standardized_conv2d": "stage{}.0.paths.branch.conv1",
    "resnet.block{}.unit01.a.group_norm": "stage{}.0.norm",
    "resnet.block{}.unit01.b.standardized_conv2d": "stage{}.0.paths.branch.conv2.conv",
    "resnet.block{}.unit01.b.group_norm": "stage{}.0.paths.branch.conv2.norm",
    "resnet.block{}.unit01.c.standardized_conv2d": "stage{}.0.paths.branch.conv3.conv",
    "resnet.block{}.unit01.c.group_norm": "stage{}.0.paths.branch.conv3.norm",
    "resnet.block{}.unit{}.a.standardized_conv2d": "stage{}.{-1}.branch.conv1.conv",
    "resnet.block{}.unit{}.a.group_norm": "stage{}.{-1}.branch.conv1.norm",
    "resnet.block{}.unit{}.b.standardized_conv2d": "stage{}.{-1}.branch.conv2.conv",
    "resnet.block{}.unit{}.b.group_norm": "stage{}.{-1}.branch.conv2.norm",
    "resnet.block{}.unit{}.c.standardized_conv2d": "stage{}.{-1}.branch.conv3.conv",
    "resnet.block{}.unit{}.c.group_norm": "stage{}.{-1}.branch.conv3.norm",
    "resnet.group_norm": "norm",
    "resnet.head.conv2d": "head.fc",
}
# The names in the released PyTorch code, which saves fine-tuned networks.
BIG_TRANSFER_KEYS: dict[str, str | None] = {
    "root.conv": "stem.conv",
    "body.block{}.unit01.downsample": "stage{}.0.paths.shortcut",
    "body.block{}.unit01.conv1": "stage{}.0.paths.branch.conv1",
    "body.block{}.unit01.gn1": "stage{}.0.norm",
    "body.block{}.unit01.conv{}": "stage{}.0.paths.branch.conv{}.conv",
    "body.block{}.unit01.gn{}": "stage{}.0.paths.branch.conv{}.norm",
    "body.block{}.unit{}.conv{}": "stage{}.{-1}.branch.conv{}.conv",
    "body.block{}.unit{}.gn{}": "stage{}.{-1}.branch.conv{}.norm",
    "head.gn": "norm",
    "head.conv": "head.fc",
}
LAYOUTS = {"npz": NPZ_KEYS, "big_transfer": BIG_TRANSFER_KEYS, "timm": TIMM_RESNETV2_KEYS}

DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
# The released code's README states these accuracies of BiT-M, pre-trained on ImageNet-21k and fine-tuned by its PyTorch
# code. Images of fewer than 96 x 96 pixels are resized to 128, others to 480, which is 4.6 times the MACs at 224.
_FINE_TUNED = "big_transfer's README, BiT-M (ImageNet-21k) fine-tuned in PyTorch"
_README = f"{_FINE_TUNED} at 480 pixels"
_MEDIAN = f"{_FINE_TUNED} at 128 pixels, median of at least 5 runs"
_TABLE_1 = "the paper's table 1, BiT-L (JFT-300M) fine-tuned"
_TABLE_2 = "the paper's table 2, BiT-M (ImageNet-21k) fine-tuned"
_LARGER = "with larger images than in pre-training"

# Layers and factor of the width: parameters, MACs, accuracies.
RELEASED: dict[tuple[int, int], tuple[int, int, tuple[Published, ...]]] = {
    (50, 1): (
        25_549_352,
        4_089_184_256,
        (
            Published(0.8068, "validation", "imagenet", _README),
            Published(0.974, "test", "cifar10", _MEDIAN),
            Published(0.866, "test", "cifar100", _MEDIAN),
        ),
    ),
    (50, 3): (217_319_080, 36_082_286_592, ()),
    (101, 1): (44_541_480, 7_801_405_440, ()),
    (101, 3): (
        387_934_888,
        69_492_277_248,
        (Published(0.986, "test", "cifar10", _MEDIAN), Published(0.912, "test", "cifar100", _MEDIAN)),
    ),
    (152, 2): (
        236_335_208,
        45_814_382_592,
        (
            Published(0.8515, "validation", "imagenet", _README),
            Published(0.985, "test", "cifar10", _MEDIAN),
            Published(0.913, "test", "cifar100", _MEDIAN),
        ),
    ),
    (152, 4): (
        936_533_224,
        182_777_282_560,
        (
            Published(0.854, "validation", "imagenet", f"{_TABLE_2} {_LARGER}"),
            Published(0.8754, "validation", "imagenet", f"{_TABLE_1} {_LARGER}"),
            Published(0.9891, "test", "cifar10", _TABLE_2),
            Published(0.9937, "test", "cifar10", _TABLE_1),
            Published(0.9217, "test", "cifar100", _TABLE_2),
            Published(0.9351, "test", "cifar100", _TABLE_1),
        ),
    ),
}
NOTES = {(152, 2): "not in the paper; released after it"}


def _row(layers: int, factor: int) -> Architecture:
    params, macs, published = RELEASED[layers, factor]
    widths = tuple(factor * width for width in (256, 512, 1024, 2048))
    return Architecture(
        f"bit_resnet{layers}x{factor}",
        builder=partial(bit_resnet, stem_channels=64 * factor, depths=DEPTHS[layers], widths=widths),
        paper=PAPER,
        dataset="imagenet",
        image_size=224,
        num_classes=1000,
        params=params,
        macs=macs,
        published=published,
        layouts=LAYOUTS,
        recipe="bit_pretraining",
        note=NOTES.get((layers, factor), ""),
    )


ROWS = tuple(_row(layers, factor) for layers, factor in RELEASED)
